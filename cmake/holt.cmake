# The few functions every folder's CMakeLists.txt is written in.
#
#   holt_library(NAME SOURCES ... DEPS ... [PRIVATE_DEPS ...])
#   holt_binary(NAME DIR bin|libexec SOURCES ... DEPS ... [STATIC])
#   holt_test(NAME SOURCES ... DEPS ...)            a GoogleTest binary, run by ctest; neither root nor KVM
#   holt_fuzz(NAME SOURCES ... DEPS ... CORPUS dir) a libFuzzer target (preset fuzz); its corpus replays as a test elsewhere
#   holt_benchmark(NAME SOURCES ... DEPS ...)       a Google Benchmark binary, not run by ctest
#   holt_proto(NAME PROTOS ...)                     a lite-runtime library from .proto files
#
# The build tree has the shape of an installation: bin/, libexec/holt/, share/holt/.

include(GNUInstallDirs)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

option(HOLT_ASSERTIONS "Assertions of the C++ library" OFF)
option(HOLT_FUZZ "Build the libFuzzer targets" OFF)
set(HOLT_SANITIZE "" CACHE STRING "Value of -fsanitize=")
set(HOLT_ONLY "" CACHE STRING "Configure only these top folders (semicolons or commas)")
string(REPLACE "," ";" HOLT_ONLY "${HOLT_ONLY}")

find_program(CCACHE ccache)
if(CCACHE)
  # Relative to the checkout, so that another checkout finds what this one compiled.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/bin)
set(HOLT_BIN_DIR ${CMAKE_BINARY_DIR}/bin)
set(HOLT_LIBEXEC_DIR ${CMAKE_BINARY_DIR}/libexec/holt)
set(HOLT_SHARE_DIR ${CMAKE_BINARY_DIR}/share/holt)

add_library(holt_options INTERFACE)
target_include_directories(holt_options INTERFACE ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
target_compile_options(holt_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough -Wno-missing-field-initializers
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wthread-safety>
  -fstack-protector-strong -fno-strict-aliasing)
target_compile_definitions(holt_options INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64
  $<$<BOOL:${HOLT_ASSERTIONS}>:_GLIBCXX_ASSERTIONS>
  HOLT_VERSION="${PROJECT_VERSION}")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # What stands between a memory bug and an escape when every check before it failed.
  target_compile_options(holt_options INTERFACE -D_FORTIFY_SOURCE=2 -fstack-clash-protection -fcf-protection
    -ftrivial-auto-var-init=zero)
  target_compile_definitions(holt_options INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(holt_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(HOLT_SANITIZE)
  target_compile_options(holt_options INTERFACE -fsanitize=${HOLT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(holt_options INTERFACE -fsanitize=${HOLT_SANITIZE})
endif()
if(HOLT_FUZZ)
  target_compile_options(holt_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

pkg_check_modules(FMT REQUIRED IMPORTED_TARGET fmt)
find_package(tl-expected REQUIRED)

function(holt_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC holt_options ${A_DEPS} PRIVATE ${A_PRIVATE_DEPS})
endfunction()

function(holt_binary name)
  cmake_parse_arguments(A "STATIC" "DIR" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE holt_options ${A_DEPS})
  if(A_STATIC AND NOT HOLT_SANITIZE)
    target_compile_options(${name} PRIVATE -fPIE)
    target_link_options(${name} PRIVATE -static-pie)
  else()
    target_link_options(${name} PRIVATE -pie)
  endif()
  if(A_DIR STREQUAL "bin")
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${HOLT_BIN_DIR})
    install(TARGETS ${name} DESTINATION ${CMAKE_INSTALL_BINDIR})
  else()
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${HOLT_LIBEXEC_DIR})
    install(TARGETS ${name} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/holt)
  endif()
endfunction()

find_package(GTest REQUIRED)
include(GoogleTest)

# Every test binary goes to tests/bin; tests/run finds them by ctest's label "unit".
function(holt_test name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE holt_options ${A_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS unit)
endfunction()

function(holt_fuzz name)
  cmake_parse_arguments(A "" "CORPUS" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE holt_options ${A_DEPS})
  if(HOLT_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    # The corpus, replayed: the driver calls LLVMFuzzerTestOneInput on every file.
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/corpus/replay_main.cc)
    add_test(NAME ${name}_replay COMMAND ${name} ${PROJECT_SOURCE_DIR}/tests/corpus/${A_CORPUS})
    set_tests_properties(${name}_replay PROPERTIES LABELS corpus)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/fuzz)
endfunction()

function(holt_benchmark name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  find_package(benchmark REQUIRED)
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE holt_options ${A_DEPS} benchmark::benchmark_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/bench)
endfunction()

find_package(Protobuf REQUIRED)

function(holt_proto name)
  cmake_parse_arguments(A "" "" "PROTOS" ${ARGN})
  set(outputs)
  foreach(proto ${A_PROTOS})
    file(RELATIVE_PATH rel ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
    string(REGEX REPLACE "\\.proto$" "" stem ${rel})
    set(out ${CMAKE_BINARY_DIR}/gen/${stem}.pb.cc)
    add_custom_command(OUTPUT ${out} ${CMAKE_BINARY_DIR}/gen/${stem}.pb.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/gen
      COMMAND protobuf::protoc --cpp_out=lite:${CMAKE_BINARY_DIR}/gen -I ${PROJECT_SOURCE_DIR}
              ${CMAKE_CURRENT_SOURCE_DIR}/${proto}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto} VERBATIM)
    list(APPEND outputs ${out})
  endforeach()
  add_library(${name} STATIC ${outputs})
  target_include_directories(${name} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/gen)
  # The static archive, so that the guest's agent needs no shared library.
  target_link_libraries(${name} PUBLIC holt_protobuf_lite)
endfunction()

find_library(HOLT_PROTOBUF_LITE_A NAMES libprotobuf-lite.a REQUIRED)
add_library(holt_protobuf_lite INTERFACE)
target_link_libraries(holt_protobuf_lite INTERFACE ${HOLT_PROTOBUF_LITE_A} Threads::Threads)

# A GoogleTest binary that drives real parts (root, a virtual machine, a registry); run by tests/run,
# by ctest with -L e2e. The back end is told by HOLT_TEST_ACCEL (software, kvm). ON names the layers of
# tests/run that have it; software and kvm unless it does.
function(holt_e2e_test name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;ON" ${ARGN})
  if(NOT A_ON)
    set(A_ON software kvm)
  endif()
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE holt_options ${A_DEPS} GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/e2e)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "e2e;${A_ON}" RUN_SERIAL ON)
endfunction()
