# holt-vmm without holt around it: a tiny guest of its own, the real kernel.
if(TARGET holt-vmm AND TARGET guest_agent_initramfs)
  add_executable(vmm_guest vmm_guest.cc fs_checks.cc)
  target_link_libraries(vmm_guest PRIVATE holt_options)
  target_link_options(vmm_guest PRIVATE -static-pie -s)
  set_target_properties(vmm_guest PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/e2e)
  holt_e2e_test(vmm_software_test SOURCES vmm_software_test.cc
    DEPS rpc rpc_vmm vmm_software vmm_control guest_agent_initramfs ON software)
  add_dependencies(vmm_software_test holt-vmm vmm_guest)
  holt_e2e_test(fsd_test SOURCES fsd_test.cc
    DEPS rpc rpc_vmm vmm_software vmm_control guest_agent_initramfs ON software)
  add_dependencies(fsd_test holt-vmm holt-fsd vmm_guest)
  holt_e2e_test(vmm_kvm_test SOURCES vmm_kvm_test.cc
    DEPS rpc rpc_vmm vmm_control guest_agent_initramfs ON kvm)
  add_dependencies(vmm_kvm_test holt-vmm holt-fsd vmm_guest)
  holt_e2e_test(kvm_cpu_test SOURCES kvm_cpu_test.cc DEPS vmm_kvm vmm_probe ON kvm)
endif()
