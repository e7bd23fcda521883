// SPDX-License-Identifier: Apache-2.0
// The ladder of ARCHITECTURE.md, checked: a layer includes only itself and the layers in its DEPENDS list,
// and DEPENDS has no cycle. Libtorch headers appear only in folders named torch.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace {

namespace fs = std::filesystem;
using Layers = std::map<std::string, std::set<std::string>>;

Layers ReadLayers() {
  Layers layers;
  std::ifstream file(FORGE_LAYERS_FILE);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, dependency;
    if (!(words >> name)) continue;
    name.pop_back();  // the colon
    layers[name];
    while (words >> dependency) layers[name].insert(dependency);
  }
  return layers;
}

std::set<std::string> Reachable(const Layers& layers, const std::string& from) {
  std::set<std::string> seen;
  std::vector<std::string> open{from};
  while (!open.empty()) {
    const std::string name = open.back();
    open.pop_back();
    const auto found = layers.find(name);
    if (found == layers.end()) continue;
    for (const std::string& next : found->second)
      if (seen.insert(next).second) open.push_back(next);
  }
  return seen;
}

struct Include {
  fs::path file;
  std::string layer, target;
  bool quoted;
};

std::vector<Include> ReadIncludes() {
  std::vector<Include> includes;
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^">]+)[">])");
  const fs::path source = fs::path(FORGE_SOURCE_DIR) / "src";
  for (const auto& entry : fs::recursive_directory_iterator(source)) {
    if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
    std::ifstream file(entry.path());
    std::smatch match;
    for (std::string line; std::getline(file, line);)
      if (std::regex_search(line, match, pattern))
        includes.push_back(
            {entry.path(), fs::relative(entry.path(), source).begin()->string(), match[2], match[1] == "\""});
  }
  return includes;
}

TEST(Layers, IncludeOnlyWhatTheyDependOn) {
  const Layers layers = ReadLayers();
  ASSERT_GE(layers.size(), 5u);
  for (const Include& include : ReadIncludes()) {
    if (!include.quoted) continue;
    const std::string target = fs::path(include.target).begin()->string();
    ASSERT_TRUE(layers.contains(include.layer)) << include.file << " is in no layer";
    EXPECT_TRUE(target == include.layer || Reachable(layers, include.layer).contains(target))
        << include.file << " includes " << include.target << ", but " << include.layer
        << " does not depend on " << target;
  }
}

TEST(Layers, HaveNoCycle) {
  const Layers layers = ReadLayers();
  for (const auto& [name, dependencies] : layers)
    EXPECT_FALSE(Reachable(layers, name).contains(name)) << name;
}

TEST(Layers, KeepLibtorchInFoldersNamedTorch) {
  for (const Include& include : ReadIncludes()) {
    const std::string top = fs::path(include.target).begin()->string();
    if (include.quoted || (top != "torch" && top != "ATen" && top != "c10")) continue;
    EXPECT_EQ(include.file.parent_path().filename(), "torch")
        << include.file << " includes " << include.target;
  }
}

TEST(Layers, KeepArrowInFoldersNamedArrow) {
  for (const Include& include : ReadIncludes()) {
    const std::string top = fs::path(include.target).begin()->string();
    if (include.quoted || (top != "arrow" && top != "parquet")) continue;
    EXPECT_EQ(include.file.parent_path().filename(), "arrow")
        << include.file << " includes " << include.target;
  }
}

TEST(Layers, KeepMpiInFoldersNamedMpi) {
  for (const Include& include : ReadIncludes()) {
    if (include.target != "mpi.h") continue;
    EXPECT_EQ(include.file.parent_path().filename(), "mpi") << include.file << " includes " << include.target;
  }
}

}  // namespace
