# Container engines with holt as their runtime.
if(TARGET e2e_holt)
  set(buildah_sources buildah_test.cc)
  set(docker_sources docker_test.cc docker_network_test.cc)
  set(podman_sources podman_test.cc podman_network_test.cc)
  set(podman_systemd_sources podman_systemd_test.cc)
  set(podman_systemd_on ON kvm)  # systemd is the lab's
  foreach(engine buildah docker podman podman_systemd)
    holt_e2e_test(${engine}_test SOURCES ${${engine}_sources} DEPS e2e_holt ${${engine}_on})
    target_compile_definitions(${engine}_test PRIVATE HOLT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    add_dependencies(${engine}_test net_probe holt holt-scope holt-monitor holt-stub holt-vmm holt-fsd holt-initramfs)
  endforeach()
endif()
