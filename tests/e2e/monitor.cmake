# holt-monitor without the command around it.
if(TARGET holt-monitor AND TARGET holt-agent)
  add_library(sandbox_harness STATIC sandbox_harness.cc)
  target_link_libraries(sandbox_harness PUBLIC holt_options shim_start shim_stub shim_stdio shim_log rpc rpc_monitor rpc_agent
    guest_agent_initramfs GTest::gtest)
  foreach(name monitor_test monitor_failure_test)
    holt_e2e_test(${name} SOURCES ${name}.cc DEPS sandbox_harness)
    add_dependencies(${name} holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
  endforeach()
  # The monitor's machine without its sandbox.
  holt_e2e_test(block_hotplug_test SOURCES block_hotplug_test.cc monitored_vm.cc agent_vm.cc
    DEPS e2e_holt shim_monitor rpc rpc_vmm rpc_agent oci vmm_software vmm_control guest_agent_initramfs)
  add_dependencies(block_hotplug_test holt-vmm holt-fsd holt-initramfs agent_probe)
endif()
