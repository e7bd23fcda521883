// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "eval/code_sandbox.h"
#include "eval/model_session.h"
#include "eval/task_items.h"
#include "eval/task_result.h"

namespace forge::eval {

struct RunOptions {
  std::uint64_t seed = 1;                // of samples, where the task samples
  const CodeSandbox* sandbox = nullptr;  // of tasks that run code
  SandboxLimits limits;
};

/// Asks the model all items and scores what it says. Items are worked on in batches; between two of them
/// progress is reported and a stop request ends the work with Error(kInterrupted). `data` is where the items
/// came from. The result does not depend on the batches. A task that runs code needs a sandbox (checked).
TaskResult RunTask(const ModelSession& session, const TaskFile& task, const TaskData& data,
                   const std::vector<TaskItem>& items, const RunOptions& options);

}  // namespace forge::eval
