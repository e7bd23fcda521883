// SPDX-License-Identifier: Apache-2.0
#include "jobs/rank_messages.h"

#include <mutex>

#include "base/error.h"
#include "base/program_library.h"
#include "jobs/mpi_abi.h"

namespace forge::jobs {
namespace {

constexpr char kLibrary[] = "libforge_mpi.so";

const ForgeMpi& Open() {
  const std::filesystem::path path = MpiLibraryPath();
  if (path.empty())
    throw Error(
        {.kind = ErrorKind::kEnvironment,
         .what = "cannot be a rank of mpirun",
         .why = std::string(kLibrary) + " was not found beside the program; it is built where MPI is found",
         .fix = "install libopenmpi-dev and build again, or start workers without --mpi"});
  const auto open = reinterpret_cast<ForgeOpenMpi>(OpenProgramLibrary(
      path, kForgeOpenMpi, "the MPI library", "install openmpi-bin, or start workers without --mpi"));
  return *open();
}

void Check(const char* problem) {
  if (problem == nullptr) return;
  throw Error(
      {.kind = ErrorKind::kEnvironment,
       .what = "MPI failed",
       .why = problem,
       .fix = "start the workers again, or without mpirun and --mpi; what they had in hand is not lost"});
}

class MpiMessages : public RankMessages {
 public:
  MpiMessages() : mpi_(Open()) {
    Check(mpi_.start(&rank_, &ranks_));
    if (ranks_ < 2)
      throw Error({.kind = ErrorKind::kEnvironment,
                   .what = "there is no worker among the ranks",
                   .why = "rank 0 only passes messages on, and there is no other",
                   .fix = "start it with `mpirun -n N`, N 2 or more, or without --mpi"});
  }
  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }
  void Send(int rank, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    Check(mpi_.send(rank, text.data(), text.size()));
  }
  std::optional<Message> Receive() override {
    const std::lock_guard lock(mutex_);
    int from = 0;
    const char* text = nullptr;
    std::size_t bytes = 0;
    Check(mpi_.receive(&from, &text, &bytes));
    if (text == nullptr) return std::nullopt;
    return Message{from, std::string(text, bytes)};
  }
  void Finish() override {
    const std::lock_guard lock(mutex_);
    Check(mpi_.finish());
  }

 private:
  const ForgeMpi& mpi_;
  std::mutex mutex_;
  int rank_ = 0, ranks_ = 1;
};

}  // namespace

std::filesystem::path MpiLibraryPath() { return FindProgramLibrary(kLibrary, "FORGE_MPI"); }

std::unique_ptr<RankMessages> StartMpi() { return std::make_unique<MpiMessages>(); }

}  // namespace forge::jobs
