# The holt command with everything behind it.
if(TARGET holt AND TARGET holt-agent)
  add_library(e2e_holt STATIC holt.cc)
  target_link_libraries(e2e_holt PUBLIC holt_options base GTest::gtest util)
  target_compile_definitions(e2e_holt PRIVATE HOLT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  foreach(name run_test lifecycle_test oci_verbs_test engine_cli_test run_bundle_test spec_features_test pause_test
               block_device_test update_test events_test host_cgroup_test hooks_test bad_input_test crash_test other_images_test
               stub_test completeness_test soak_test)
    holt_e2e_test(${name} SOURCES ${name}.cc DEPS e2e_holt)
    add_dependencies(${name} holt holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
  endforeach()
  target_link_libraries(host_cgroup_test PRIVATE shim_cgroup)
  # systemd is the lab's.
  holt_e2e_test(systemd_cgroup_test SOURCES systemd_cgroup_test.cc DEPS e2e_holt ON kvm)
  add_dependencies(systemd_cgroup_test volume_probe holt holt-scope holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
  # The store is the same whatever the processor.
  holt_e2e_test(image_cli_test SOURCES image_cli_test.cc DEPS e2e_holt ON software)
  add_dependencies(image_cli_test holt holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
endif()
