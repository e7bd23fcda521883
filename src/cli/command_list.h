// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"

namespace forge::cli {

std::unique_ptr<Command> MakeStarterCommand();
std::unique_ptr<Command> MakeTrainCommand();
std::unique_ptr<Command> MakeEvoCommand();
std::unique_ptr<Command> MakeBakeCommand();
std::unique_ptr<Command> MakeCompressCommand();
std::unique_ptr<Command> MakeRunPipelineCommand();
/// The result of the compression as a table.
std::string CompressText(const io::Json& result);
std::unique_ptr<Command> MakeGenerateCommand();
std::unique_ptr<Command> MakeChatCommand();
std::unique_ptr<Command> MakeEvalCommand();
std::unique_ptr<Command> MakeScoreCommand();
std::unique_ptr<Command> MakePerplexityCommand();
std::unique_ptr<Command> MakeTokenizeCommand();
std::unique_ptr<Command> MakeInspectCommand();
std::unique_ptr<Command> MakeCheckCommand();
std::unique_ptr<Command> MakeConvertCommand();
std::unique_ptr<Command> MakePackCommand();
std::unique_ptr<Command> MakePullCommand();
std::unique_ptr<Command> MakeDataCommand();
std::unique_ptr<Command> MakeStatusCommand();
std::unique_ptr<Command> MakeRunsCommand();
std::unique_ptr<Command> MakeReportCommand();
std::unique_ptr<Command> MakeDashboardCommand();
std::unique_ptr<Command> MakeDoctorCommand();
std::unique_ptr<Command> MakeCompletionCommand();
std::unique_ptr<Command> MakeFlagsPageCommand();
std::unique_ptr<Command> MakeMergeCommand();
std::unique_ptr<Command> MakeServeCommand();
std::unique_ptr<Command> MakeLineageCommand();
std::unique_ptr<Command> MakeWorkerCommand();
std::unique_ptr<Command> MakeBenchCommand();

}  // namespace forge::cli
