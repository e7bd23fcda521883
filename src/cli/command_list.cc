// SPDX-License-Identifier: Apache-2.0
#include "cli/command_list.h"

namespace forge::cli {

const std::vector<CommandEntry>& Commands() {
  static const std::vector<CommandEntry> commands{
      {"starter", MakeStarterCommand},
      {"train", MakeTrainCommand},
      {"evo", MakeEvoCommand},
      {"bake-quietstar", MakeBakeCommand},
      {"compress", MakeCompressCommand},
      {"run-pipeline", MakeRunPipelineCommand},
      {"generate", MakeGenerateCommand},
      {"chat", MakeChatCommand},
      {"eval", MakeEvalCommand},
      {"score", MakeScoreCommand},
      {"perplexity", MakePerplexityCommand},
      {"tokenize", MakeTokenizeCommand},
      {"inspect", MakeInspectCommand},
      {"check", MakeCheckCommand},
      {"convert", MakeConvertCommand},
      {"pack", MakePackCommand},
      {"pull", MakePullCommand},
      {"data", MakeDataCommand},
      {"status", MakeStatusCommand},
      {"runs", MakeRunsCommand},
      {"report", MakeReportCommand},
      {"dashboard", MakeDashboardCommand},
      {"merge", MakeMergeCommand},
      {"serve", MakeServeCommand},
      {"lineage", MakeLineageCommand},
      {"worker", MakeWorkerCommand},
      {"bench", MakeBenchCommand},
      {"doctor", MakeDoctorCommand},
      {"completion", MakeCompletionCommand},
      {"flags", MakeFlagsPageCommand},
  };
  return commands;
}

}  // namespace forge::cli
