// SPDX-License-Identifier: Apache-2.0
// Texts between the ranks of an MPI program; all of libforge_mpi.so.
#include <dlfcn.h>
#include <mpi.h>

#include <list>
#include <string>

#include "jobs/mpi_abi.h"

namespace {

constexpr int kTag = 1;
constexpr int kMostBytes = 64 << 20;  // more than any message of ours

/// Sends that have not arrived; the text must stay where it is until then.
struct Sending {
  std::string text;
  MPI_Request request = MPI_REQUEST_NULL;
};
std::list<Sending> sending;
std::string received, problem;

const char* Explain(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  problem.assign(text, static_cast<std::size_t>(length));
  return problem.c_str();
}

const char* Start(int* rank, int* ranks) {
  // The parts that Open MPI loads by itself look for its symbols among the global ones, but we were opened
  // with RTLD_LOCAL.
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&MPI_Init_thread), &self) != 0)
    dlopen(self.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  int level = MPI_THREAD_SINGLE;
  if (const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level); code != MPI_SUCCESS)
    return Explain(code);
  if (level < MPI_THREAD_SERIALIZED) return "this MPI cannot be used by more than one thread";
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  MPI_Comm_size(MPI_COMM_WORLD, ranks);
  return nullptr;
}

const char* ForgetArrived() {
  for (auto entry = sending.begin(); entry != sending.end();) {
    int arrived = 0;
    if (const int code = MPI_Test(&entry->request, &arrived, MPI_STATUS_IGNORE); code != MPI_SUCCESS)
      return Explain(code);
    entry = arrived ? sending.erase(entry) : std::next(entry);
  }
  return nullptr;
}

const char* Send(int rank, const char* text, std::size_t bytes) {
  if (bytes > kMostBytes) return "the message is too long";
  Sending& entry = sending.emplace_back(Sending{.text = std::string(text, bytes)});
  const int code = MPI_Isend(entry.text.data(), static_cast<int>(bytes), MPI_BYTE, rank, kTag, MPI_COMM_WORLD,
                             &entry.request);
  return code == MPI_SUCCESS ? ForgetArrived() : Explain(code);
}

const char* Receive(int* rank, const char** text, std::size_t* bytes) {
  *text = nullptr;
  if (const char* why = ForgetArrived()) return why;
  int found = 0, count = 0;
  MPI_Message message;
  MPI_Status status;
  int code = MPI_Improbe(MPI_ANY_SOURCE, kTag, MPI_COMM_WORLD, &found, &message, &status);
  if (code != MPI_SUCCESS) return Explain(code);
  if (!found) return nullptr;
  MPI_Get_count(&status, MPI_BYTE, &count);
  if (count < 0 || count > kMostBytes) return "a rank sent a message that is too long";
  received.resize(static_cast<std::size_t>(count));
  code = MPI_Mrecv(received.data(), count, MPI_BYTE, &message, &status);
  if (code != MPI_SUCCESS) return Explain(code);
  *rank = status.MPI_SOURCE;
  *text = received.data();
  *bytes = received.size();
  return nullptr;
}

const char* Finish() {
  for (Sending& entry : sending) MPI_Wait(&entry.request, MPI_STATUS_IGNORE);
  sending.clear();
  const int code = MPI_Finalize();
  return code == MPI_SUCCESS ? nullptr : "MPI could not be ended";
}

constexpr ForgeMpi kFunctions{Start, Send, Receive, Finish};

}  // namespace

extern "C" __attribute__((visibility("default"))) const ForgeMpi* forge_open_mpi_1() { return &kFunctions; }
