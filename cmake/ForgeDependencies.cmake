# Every outside library, each behind one imported target. Reasons: docs/decisions.md.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)  # SSL: for tests
find_package(SQLite3 REQUIRED)
find_package(CURL 7.85 REQUIRED)  # headers only: src/io/http_client.cc opens the library when it is needed
add_library(forge_curl_headers INTERFACE)
target_include_directories(forge_curl_headers SYSTEM INTERFACE ${CURL_INCLUDE_DIRS})
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
find_package(ZLIB REQUIRED)
find_package(BZip2 REQUIRED)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
if(FORGE_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(FORGE_BUILD_BENCHMARKS)
  find_package(benchmark REQUIRED)
endif()

# Arrow and Parquet, from the pyarrow wheel. AUTO takes them where they are.
set(FORGE_HAS_PARQUET OFF)
if(FORGE_WITH_PARQUET STREQUAL "AUTO" AND EXISTS ${FORGE_ARROW_DIR}/lib/libparquet.so)
  set(FORGE_HAS_PARQUET ON)
elseif(NOT FORGE_WITH_PARQUET STREQUAL "AUTO")
  set(FORGE_HAS_PARQUET ${FORGE_WITH_PARQUET})
endif()
if(FORGE_HAS_PARQUET)
  if(NOT EXISTS ${FORGE_ARROW_DIR}/lib/libparquet.so)
    message(FATAL_ERROR "Arrow is not in ${FORGE_ARROW_DIR}.\n"
      "  why: FORGE_WITH_PARQUET is ON and lib/libparquet.so is missing there\n"
      "  fix: run `make setup`, or give -DFORGE_ARROW_DIR=<folder>, or -DFORGE_WITH_PARQUET=OFF")
  endif()
  add_library(forge_arrow INTERFACE)
  target_include_directories(forge_arrow SYSTEM INTERFACE ${FORGE_ARROW_DIR}/include)
  target_link_libraries(forge_arrow INTERFACE ${FORGE_ARROW_DIR}/lib/libparquet.so ${FORGE_ARROW_DIR}/lib/libarrow.so)
endif()

# MPI, by its C interface.
set(FORGE_HAS_MPI OFF)
if(NOT FORGE_WITH_MPI STREQUAL "OFF")
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS CXX)
  set(FORGE_HAS_MPI ${MPI_CXX_FOUND})
  if(FORGE_WITH_MPI STREQUAL "ON" AND NOT FORGE_HAS_MPI)
    message(FATAL_ERROR "MPI was not found.\n"
      "  why: FORGE_WITH_MPI is ON and CMake's FindMPI finds no C++ compiler wrapper\n"
      "  fix: run `make setup`, or install libopenmpi-dev, or give -DFORGE_WITH_MPI=OFF")
  endif()
endif()

if(FORGE_WITH_TORCH)
  if(NOT EXISTS ${FORGE_TORCH_DIR}/lib/libtorch_cpu.so)
    message(FATAL_ERROR "libtorch is not in ${FORGE_TORCH_DIR}.\n"
      "  why: FORGE_WITH_TORCH is ON and lib/libtorch_cpu.so is missing there\n"
      "  fix: run `make setup`, or give -DFORGE_TORCH_DIR=<folder>, or -DFORGE_WITH_TORCH=OFF")
  endif()
  add_library(forge_torch INTERFACE)
  target_include_directories(forge_torch SYSTEM INTERFACE
    ${FORGE_TORCH_DIR}/include ${FORGE_TORCH_DIR}/include/torch/csrc/api/include)
  target_link_libraries(forge_torch INTERFACE
    ${FORGE_TORCH_DIR}/lib/libtorch.so ${FORGE_TORCH_DIR}/lib/libtorch_cpu.so ${FORGE_TORCH_DIR}/lib/libc10.so)
  foreach(cuda_library torch_cuda c10_cuda)  # a CUDA build of libtorch: its kernels register when loaded
    if(EXISTS ${FORGE_TORCH_DIR}/lib/lib${cuda_library}.so)
      target_link_libraries(forge_torch INTERFACE ${FORGE_TORCH_DIR}/lib/lib${cuda_library}.so)
    endif()
  endforeach()
endif()
