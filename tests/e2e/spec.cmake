# The runtime specification from outside, asked of holt in both back ends and, in the lab, of crun: what one passes and the other
# does not is in docs/runtime-spec.md.
if(TARGET e2e_holt)
  foreach(area mounts namespaces privileges process resources users values)
    set(name spec_${area}_test)
    holt_e2e_test(${name} SOURCES ${name}.cc DEPS e2e_holt)
    add_dependencies(${name} holt holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
    # Which wrong values are refused is everybody's own.
    if(area STREQUAL values)
      continue()
    endif()
    add_test(NAME ${name}_of_crun COMMAND /usr/bin/env HOLT_TEST_RUNTIME=crun $<TARGET_FILE:${name}>)
    set_tests_properties(${name}_of_crun PROPERTIES LABELS "e2e;kvm" RUN_SERIAL ON)
  endforeach()
endif()
