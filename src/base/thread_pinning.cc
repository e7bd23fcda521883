// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pinning.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace forge {
namespace {

[[noreturn]] void Refuse(const std::string& why) {
  throw Error({.kind = ErrorKind::kEnvironment,
               .what = "cannot pin threads to cores",
               .why = why,
               .fix = "leave out --pin-threads; or look with taskset -p $$ which cores this shell may use"});
}

/// The first of the hardware threads that share `core`'s execution units; `core` itself where the system does
/// not tell.
int UnitOf(int core) {
  std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", core));
  int first = core;
  return file >> first ? first : core;
}

}  // namespace

std::vector<int> CoresForPinning() {
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) != 0)
    Refuse(fmt::format("the system does not say which cores may be used: {}", std::strerror(errno)));
  std::vector<int> cores, units;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &mask)) continue;
    cores.push_back(core);
    units.push_back(UnitOf(core));
  }
  return SpreadOverUnits(cores, units);
}

std::vector<int> SpreadOverUnits(std::span<const int> cores, std::span<const int> unit_of) {
  std::map<int, int> taken;  // of each unit
  std::vector<int> rank;
  for (const int unit : unit_of) rank.push_back(taken[unit]++);
  std::vector<std::size_t> order(cores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return rank[a] < rank[b]; });
  std::vector<int> spread;
  for (const std::size_t i : order) spread.push_back(cores[i]);
  return spread;
}

PinnedThreads::PinnedThreads(const ThreadPool& pool, Handle caller, std::vector<int> cores) {
  FORGE_CHECK(!cores.empty());
  std::vector<Handle> threads = pool.WorkerHandles();
  threads.insert(threads.begin(), caller);
  for (std::size_t i = 0; i < threads.size(); ++i) {
    const int core = cores[i % cores.size()];
    Before before{threads[i], {}};
    int failure = pthread_getaffinity_np(before.thread, sizeof before.mask, &before.mask);
    if (failure == 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(core, &one);
      failure = pthread_setaffinity_np(before.thread, sizeof one, &one);
    }
    if (failure != 0) {
      Restore();
      Refuse(fmt::format("the system refuses core {}: {}", core, std::strerror(failure)));
    }
    before_.push_back(before);
    pinned_to_.push_back(core);
  }
}

PinnedThreads::~PinnedThreads() { Restore(); }

void PinnedThreads::Restore() {
  // The mask was allowed when it was read; if it no longer is, the thread stays where it is, as the system
  // wants.
  for (const Before& before : before_)
    pthread_setaffinity_np(before.thread, sizeof before.mask, &before.mask);
}

}  // namespace forge
