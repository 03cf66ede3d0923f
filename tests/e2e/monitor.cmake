# holt-monitor without the command around it.
if(TARGET holt-monitor AND TARGET holt-agent)
  add_library(sandbox_harness STATIC sandbox_harness.cc)
  target_link_libraries(sandbox_harness PUBLIC holt_options shim_start shim_stub shim_stdio shim_log rpc rpc_monitor rpc_agent
    guest_agent_initramfs GTest::gtest)
  foreach(name monitor_test monitor_failure_test)
    holt_e2e_test(${name} SOURCES ${name}.cc DEPS sandbox_harness)
    add_dependencies(${name} holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
  endforeach()
endif()
