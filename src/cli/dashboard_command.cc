// SPDX-License-Identifier: Apache-2.0
#include "cli/command_list.h"
#include "dashboard/server.h"

namespace forge::cli {
namespace {

struct DashboardConfig {
  int port = 8501;
  std::string host = "localhost";
  std::string output_dir = "output";

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("port", port, InRange{0, 65535}, "Port to listen on; 0: any free one.");
    visit("host", host, AnyValue{}, "Name or address of this machine to listen on.");
    visit("output_dir", output_dir, AnyValue{}, "Folder with the run store.");
  }
};

class DashboardCommand : public Command {
 public:
  std::string Name() const override { return "dashboard"; }
  std::string Summary() const override { return "Serve a page that shows the runs live; Ctrl-C ends it."; }
  std::string Example() const override { return "forge dashboard --port 8501 --host localhost"; }
  void AddFlags(FlagSet& flags) override { flags.AddConfig(config_); }
  int Run(const FlagSet&, Terminal& terminal) override {
    dashboard::Server server({.folder = config_.output_dir, .host = config_.host, .port = config_.port});
    terminal.Print("dashboard of " + config_.output_dir + " at " + server.Url() + " (Ctrl-C ends it)\n");
    terminal.PrintJson({{"url", server.Url()}, {"output_dir", config_.output_dir}});
    server.Run(terminal.stop());
    return 0;  // being stopped is how it ends
  }

 private:
  DashboardConfig config_;
};

}  // namespace

std::unique_ptr<Command> MakeDashboardCommand() { return std::make_unique<DashboardCommand>(); }

}  // namespace forge::cli
