# holt_initramfs(AGENT): packs the target AGENT, stripped, into share/holt/initramfs.cpio as part of `all`.

find_package(LibArchive REQUIRED)

holt_library(guest_agent_initramfs SOURCES initramfs.cc DEPS PkgConfig::FMT)
add_executable(holt-mkinitramfs initramfs_main.cc)
target_link_libraries(holt-mkinitramfs PRIVATE holt_options guest_agent_initramfs base)
holt_test(initramfs_test SOURCES initramfs_test.cc DEPS guest_agent_initramfs LibArchive::LibArchive)

function(holt_initramfs agent)
  set(out ${HOLT_SHARE_DIR}/initramfs.cpio)
  set(stripped ${CMAKE_CURRENT_BINARY_DIR}/${agent}.stripped)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${HOLT_SHARE_DIR}
    COMMAND ${CMAKE_STRIP} -s -o ${stripped} $<TARGET_FILE:${agent}>
    COMMAND holt-mkinitramfs ${stripped} ${out}
    DEPENDS ${agent} holt-mkinitramfs
    COMMENT "Packing ${agent} into initramfs.cpio" VERBATIM)
  add_custom_target(holt-initramfs ALL DEPENDS ${out})
  install(FILES ${out} DESTINATION ${CMAKE_INSTALL_DATADIR}/holt)
endfunction()
