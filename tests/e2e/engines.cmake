# Container engines with holt as their runtime.
if(TARGET e2e_holt)
  holt_e2e_test(podman_test SOURCES podman_test.cc podman_network_test.cc DEPS e2e_holt)
  holt_e2e_test(buildah_test SOURCES buildah_test.cc DEPS e2e_holt)
  add_dependencies(buildah_test holt holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
  target_compile_definitions(podman_test PRIVATE HOLT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_dependencies(podman_test net_probe holt holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
endif()
