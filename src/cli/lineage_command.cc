// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "cli/command_list.h"
#include "io/atomic_file.h"
#include "pipeline/lineage_recipe.h"
#include "track/pareto_view.h"
#include "track/report_style.h"
#include "track/report_svg.h"
#include "track/search_history.h"
#include "track/store.h"

namespace forge::cli {
namespace {

using io::Json;
using track::Candidate;

class LineageCommand : public Command {
 public:
  std::string Name() const override { return "lineage"; }
  std::string Summary() const override { return "Show how the champion of a search came about."; }
  std::string Example() const override { return "forge lineage --mergekit champion.yml"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("RUN", run_, "Id of the run; the newest unless given.", false);
    flags.AddText("--output-dir", output_dir_, "Folder with the run store.");
    flags.AddText("--html", html_, "Write a page with the drawing to this file.");
    flags.AddText(
        "--mergekit", mergekit_,
        "Write the champion's merge as a mergekit config, which forge merge makes the same weights of.");
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    std::optional<track::Store> store = track::Store::OpenIfAny(output_dir_);
    if (!store) Refuse("there is no run store in " + output_dir_);
    if (run_.empty()) {
      const std::vector<track::Run> runs = store->Runs();
      if (runs.empty()) Refuse("the store in " + output_dir_ + " has no runs");
      run_ = runs.front().id;
    }
    if (!store->FindRun(run_)) Refuse("there is no run " + run_ + " in " + output_dir_);
    const std::vector<Candidate> candidates = store->Candidates(run_);
    const Json result = pipeline::EvolveResult(*store, run_);
    if (result.is_null()) Refuse("its evolve stage has no result yet");
    const auto champion = result.at("champion").get<std::int64_t>();
    if (!mergekit_.empty()) io::WriteFileAtomically(mergekit_, pipeline::MergekitRecipe(result));
    if (!html_.empty()) io::WriteFileAtomically(html_, Page(candidates, champion, result));
    terminal.Print(Text(candidates, champion, result));
    terminal.PrintJson(ToJson(candidates, champion, result));
    return 0;
  }

 private:
  [[noreturn]] void Refuse(const std::string& why) const {
    throw Error({.what = "there is no lineage to show",
                 .why = why,
                 .fix = "give RUN and --output-dir of a search; forge runs lists them"});
  }

  /// The champion, its parents, theirs, each once, the youngest first.
  static std::vector<const Candidate*> Ancestry(const std::vector<Candidate>& candidates,
                                                std::int64_t champion) {
    std::map<std::int64_t, const Candidate*> by_id;
    for (const Candidate& candidate : candidates) by_id[candidate.id] = &candidate;
    const std::vector<track::LineageNode> nodes = track::LineageNodes(candidates);
    std::vector<const Candidate*> found;
    for (const track::LineageNode* node : track::Ancestry(nodes, champion, nodes.size()))
      found.push_back(by_id.at(node->id));
    return found;
  }

  static std::string Score(const Candidate& candidate) {
    const auto fitness = candidate.Fitness();
    return fitness ? fmt::format("{:.4f}", *fitness) : "-";
  }

  std::string Text(const std::vector<Candidate>& candidates, std::int64_t champion,
                   const Json& result) const {
    std::string text =
        fmt::format("{}: {}, search score by generation\n", run_,
                    result.value("verdict", "") == "gain" ? "gain" : "no gain: the best parent was kept");
    for (const Candidate* candidate : Ancestry(candidates, champion)) {
      text += fmt::format("  {:<9} {:<7} {}  {}", candidate->label, candidate->kind, Score(*candidate),
                          candidate->genome.value("recipe", ""));
      if (!candidate->parents.empty()) text += "  from";
      for (const std::int64_t parent : candidate->parents) text += fmt::format(" {}", parent);
      text += "\n";
    }
    text += "made of\n";
    for (const Candidate& candidate : candidates)
      if (track::IsReference(candidate.kind))
        text += fmt::format("  {:<17} {}  {}\n", candidate.label, Score(candidate), candidate.kind);
    return text;
  }

  Json ToJson(const std::vector<Candidate>& candidates, std::int64_t champion, const Json& result) const {
    const auto to_json = [](const Candidate& candidate) {
      return Json{{"id", candidate.id},         {"label", candidate.label},     {"kind", candidate.kind},
                  {"genome", candidate.genome}, {"parents", candidate.parents}, {"scores", candidate.scores}};
    };
    Json ancestry = Json::array(), references = Json::array();
    for (const Candidate* candidate : Ancestry(candidates, champion)) ancestry.push_back(to_json(*candidate));
    for (const Candidate& candidate : candidates)
      if (track::IsReference(candidate.kind)) references.push_back(to_json(candidate));
    return {{"run", run_},
            {"champion", champion},
            {"verdict", result.value("verdict", "")},
            {"ancestry", std::move(ancestry)},
            {"references", std::move(references)}};
  }

  std::string Page(const std::vector<Candidate>& candidates, std::int64_t champion,
                   const Json& result) const {
    const track::ParetoView front = track::ViewOfFront(result, candidates);
    std::string page = fmt::format(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Lineage of {0}</title>"
        "<style>{1}</style></head>\n<body><main><h1>Lineage of "
        "{0}</h1>\n<section><figure>{2}</figure></section>\n",
        track::EscapeHtml(run_), track::ReportStyle(),
        track::LineagePlot(track::LineageNodes(candidates), champion));
    if (!front.plot.empty())
      page += fmt::format(
          "<section><h2>Pareto front</h2><figure>{}<figcaption>{}</figcaption></figure></section>\n",
          front.plot, track::EscapeHtml(front.caption));
    return page + "<section><pre>" + track::EscapeHtml(Text(candidates, champion, result)) +
           "</pre></section></main></body></html>\n";
  }

  std::string run_, output_dir_ = "output", html_, mergekit_;
};

}  // namespace

std::unique_ptr<Command> MakeLineageCommand() { return std::make_unique<LineageCommand>(); }

}  // namespace forge::cli
