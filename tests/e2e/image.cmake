# Pulling images: from Debian's docker-registry, and from a server that makes every mistake.
if(TARGET image_pull AND TARGET holt)
  holt_e2e_test(image_pull_test SOURCES image_pull_test.cc image_pull_fault_test.cc fault_registry.cc
    DEPS image_pull ON software)
  add_dependencies(image_pull_test holt)
endif()
