# What the host and a container share: changes seen by inotify, sockets.
if(TARGET e2e_holt)
  add_executable(volume_probe volume_probe.cc)
  target_link_libraries(volume_probe PRIVATE holt_options)
  target_link_options(volume_probe PRIVATE -static-pie -s)
  set_target_properties(volume_probe PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/e2e)
  holt_e2e_test(volumes_test SOURCES inotify_test.cc socket_volume_test.cc volume_mounts_test.cc DEPS e2e_holt)
  add_dependencies(volumes_test volume_probe holt holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
endif()
