cmake_minimum_required(VERSION 3.25)
# Writes OUT, a header with the commit of SOURCE, when it changed; run at every build.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=40 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit MATCHES "^[0-9a-f]+(-dirty)?$")
  set(commit unknown)  # no git, or a tree that was unpacked
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#pragma once\n#define HOLT_COMMIT \"@commit@\"\n" @ONLY)
