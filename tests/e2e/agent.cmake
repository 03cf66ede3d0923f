# holt-agent in the real guest, without the monitor.
if(TARGET holt-agent AND TARGET holt-vmm AND TARGET holt-fsd)
  add_executable(agent_probe agent_probe.cc)
  target_link_libraries(agent_probe PRIVATE holt_options)
  target_link_options(agent_probe PRIVATE -static-pie -s)
  set_target_properties(agent_probe PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/e2e)
  holt_e2e_test(agent_test SOURCES agent_process_test.cc agent_exec_test.cc agent_container_test.cc agent_hostile_test.cc agent_vm.cc
    DEPS rpc rpc_vmm rpc_agent oci vmm_software vmm_control guest_agent_initramfs)
  add_dependencies(agent_test holt-vmm holt-fsd holt-initramfs vmm_guest agent_probe)
endif()
