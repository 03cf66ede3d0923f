# Containers on networks, with a real other side.
if(TARGET e2e_holt)
  add_executable(net_probe net_probe.cc)
  target_link_libraries(net_probe PRIVATE holt_options)
  target_link_options(net_probe PRIVATE -static-pie -s)
  set_target_properties(net_probe PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/e2e)
  holt_e2e_test(network_test
    SOURCES network_test.cc net_devices_test.cc network_change_test.cc network_limits_test.cc user_network_test.cc
    DEPS e2e_holt)
  add_dependencies(network_test net_probe holt holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
endif()
