// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace forge::jobs {

/// Texts between the processes (ranks) of one program. Safe from several threads.
class RankMessages {
 public:
  virtual ~RankMessages() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;
  /// Does not wait.
  virtual void Send(int rank, std::string_view text) = 0;
  struct Message {
    int rank;
    std::string text;
  };
  /// Does not wait either.
  virtual std::optional<Message> Receive() = 0;
  /// The last call: waits until all ranks make it. Not made when this process ends with an error; then mpirun
  /// ends the others, and what they had in hand is done elsewhere.
  virtual void Finish() = 0;
};

/// MPI's, from libforge_mpi.so (src/jobs/mpi), which is opened here and nowhere else: MPI takes longer to
/// start than most commands, and not every machine has it. Once in a process. Error(kEnvironment) where this
/// build has no MPI, where the library cannot be opened, or where the process is not one of at least two
/// ranks.
std::unique_ptr<RankMessages> StartMpi();

/// Where the library is: FORGE_MPI, or beside the program, or in ../lib; empty if nowhere.
std::filesystem::path MpiLibraryPath();

}  // namespace forge::jobs
