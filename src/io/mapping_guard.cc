// SPDX-License-Identifier: Apache-2.0
#include "io/mapping_guard.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace forge::io {
namespace {

constexpr int kSlots = 4096;

/// Read by the handler at any moment: `begin` is set last and cleared first.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::size_t> size{0};
  std::array<char, 512> path{};  // the end of it, if it is longer
};

std::array<Slot, kSlots> slots;
struct sigaction before;

void Write(const char* text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
}

/// Only what may be called in a signal handler.
void OnBusError(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (const Slot& slot : slots) {
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address - begin >= slot.size.load(std::memory_order_relaxed))
      continue;
    Write("\nerror: cannot go on reading ");
    Write(slot.path.data());
    Write(
        "\n  why: it became shorter, or its disk failed, while it was in use\n"
        "  fix: put the file back as it was; what was done so far is kept, and a run can be resumed\n");
    _exit(static_cast<int>(ErrorKind::kInput));
  }
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    before.sa_sigaction(signal, info, context);
  } else {
    sigaction(SIGBUS, &before, nullptr);  // the instruction is tried again, and then it ends as it would have
  }
}

void Install() {
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &before);
}

}  // namespace

MappingGuard::MappingGuard(const void* data, std::size_t size, const std::string& path) {
  [[maybe_unused]] static const bool installed = (Install(), true);
  for (int i = 0; i < kSlots; ++i) {
    Slot& slot = slots[static_cast<std::size_t>(i)];
    if (slot.taken.load(std::memory_order_relaxed) || slot.taken.exchange(true)) continue;
    const std::size_t length = std::min(path.size(), slot.path.size() - 1);
    path.copy(slot.path.data(), length, path.size() - length);
    slot.path[length] = 0;
    slot.size.store(size, std::memory_order_relaxed);
    slot.begin.store(reinterpret_cast<std::uintptr_t>(data), std::memory_order_release);
    slot_ = i;
    return;
  }
}

MappingGuard::~MappingGuard() {
  if (slot_ < 0) return;
  Slot& slot = slots[static_cast<std::size_t>(slot_)];
  slot.begin.store(0, std::memory_order_release);
  slot.taken.store(false, std::memory_order_release);
}

MappingGuard::MappingGuard(MappingGuard&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}

MappingGuard& MappingGuard::operator=(MappingGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

}  // namespace forge::io
