// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

/// The functions of libforge_mpi.so. Plain C, so that no exception and no type of one library reaches the
/// other. One thread at a time. Those that return text return null, or why it failed (valid until the next
/// call).
extern "C" {

struct ForgeMpi {
  /// Once in a process. `rank` 0 to ranks - 1; a program that mpirun did not start is rank 0 of 1.
  const char* (*start)(int* rank, int* ranks);
  /// Copies the message and does not wait for it to arrive.
  const char* (*send)(int rank, const char* text, std::size_t bytes);
  /// A message that has arrived; *text is null if none has. Valid until the next call.
  const char* (*receive)(int* rank, const char** text, std::size_t* bytes);
  /// Waits until what was sent has arrived and all ranks are here.
  const char* (*finish)();
};

typedef const ForgeMpi* (*ForgeOpenMpi)();

}  // extern "C"

inline constexpr char kForgeOpenMpi[] = "forge_open_mpi_1";  // counts with the functions
