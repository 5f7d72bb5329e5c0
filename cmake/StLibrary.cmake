# One static library per folder of src/, one test program per library.
#
#   st_library(format SOURCES gguf.cc ... TESTS gguf_test.cc ... DEPS st_base ... LIBS PkgConfig::X
#              ALONE zip.cc ... RELEASE_ONLY Suite.Test ...)
#
# DEPS are our own targets; scripts/check-layers verifies that they only point down the layer list.
# ALONE are files that unity builds compile by themselves: their names are another's in the folder.
# RELEASE_ONLY are the tests, as gtest filters them, that sanitizers would learn nothing from.

set(ST_WARNINGS -Wall -Wextra -Wshadow -Wvla -Wnon-virtual-dtor -Wconversion -Wno-sign-conversion
                -Wno-missing-field-initializers)  # designated initialisers leave defaults on purpose
# False alarms of g++ 12: std::string concatenation, and the AVX-512 headers.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND ST_WARNINGS -Wno-restrict -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
# More of them: the last where a string is moved, of which g++ takes the text to be in the string
# itself, though it is too long for that.
if((ST_PCH OR CMAKE_UNITY_BUILD) AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND ST_WARNINGS -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
endif()
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)  # the same files together in all unity builds
if(CMAKE_UNITY_BUILD)  # names of another file in the same namespace
  list(APPEND ST_WARNINGS -Wno-shadow -Wno-subobject-linkage)
endif()
if(ST_WERROR)
  list(APPEND ST_WARNINGS -Werror)
endif()

add_library(st_options INTERFACE)
target_compile_options(st_options INTERFACE ${ST_WARNINGS} -fno-math-errno -ffp-contract=off)
target_include_directories(st_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(ST_SANITIZE)  # before the options of targets, which may take some of it back
  add_compile_options(-fsanitize=${ST_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ST_SANITIZE})
endif()

# Headers that most files include are parsed once for all libraries, and once for all tests. Every
# file still includes what it uses: scripts/each-file compiles without any.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/nothing.cc CONTENT "")
function(st_headers target)
  add_library(${target} OBJECT ${CMAKE_BINARY_DIR}/nothing.cc)
  target_link_libraries(${target} PRIVATE st_options ${ST_FMT})
  target_precompile_headers(${target} PRIVATE
    <algorithm> <array> <atomic> <chrono> <cmath> <cstdint> <cstring> <functional> <map> <memory>
    <mutex> <optional> <set> <span> <string> <string_view> <utility> <vector> <fmt/format.h> ${ARGN})
endfunction()

function(st_library name)
  cmake_parse_arguments(A "" "" "SOURCES;TESTS;DEPS;LIBS;ALONE;RELEASE_ONLY" ${ARGN})
  add_library(st_${name} STATIC ${A_SOURCES})
  target_link_libraries(st_${name} PUBLIC st_options ${A_DEPS} PRIVATE ${A_LIBS})
  if(ST_PCH AND NOT name STREQUAL kernels)  # whose files have flags of their own
    target_precompile_headers(st_${name} REUSE_FROM st_headers)
  endif()
  if(ST_TESTS AND A_TESTS)
    add_executable(${name}_test ${A_TESTS})
    target_link_libraries(${name}_test PRIVATE st_${name} ${A_LIBS} GTest::gtest_main)
    st_test_options(${name}_test)
    st_add_test(${name}_test ${A_RELEASE_ONLY})
  endif()
  if(A_ALONE)
    set_source_files_properties(${A_ALONE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()

# All tests of a program; under sanitizers without those that are given, as what only computes is
# left to the release build.
function(st_add_test target)
  set(filter)
  if(ST_SANITIZE AND ARGN)
    list(JOIN ARGN ":" filter)
    set(filter "--gtest_filter=-${filter}")
  endif()
  add_test(NAME ${target} COMMAND ${target} ${filter})
endfunction()

# What tests call is optimised and checked for undefined behaviour; they need not be, and compile in
# half the time.
function(st_test_options target)
  target_link_libraries(${target} PRIVATE st_shipped)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  st_test_flags(${target})
  if(ST_PCH)
    target_precompile_headers(${target} REUSE_FROM st_test_headers)
  endif()
endfunction()

function(st_test_flags target)
  if(ST_SANITIZE)
    target_compile_options(${target} PRIVATE -fno-sanitize=undefined)
  else()
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()
