# The image store and what fills it, linked directly; files in image/ that need root are tested here.
if(TARGET image_commands)
  foreach(name image_unpack_test image_store_test)
    holt_e2e_test(${name} SOURCES ${name}.cc DEPS image_commands ON software)
  endforeach()
endif()
