// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_hash.h"

#include <algorithm>
#include <vector>

#include "io/sha256.h"
#include "pipeline/model_reference.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

/// One line for each file, by name; not the files that start with a dot, and no folders inside.
std::string Digest(const fs::path& part) {
  if (!fs::is_directory(part)) return io::Sha256OfFile(part) + "\n";
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(part))
    if (entry.is_regular_file() && !entry.path().filename().string().starts_with('.'))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::string lines;
  for (const fs::path& file : files) lines += file.filename().string() + " " + io::Sha256OfFile(file) + "\n";
  return lines;
}

}  // namespace

std::string ModelHash(const fs::path& path) {
  const ModelParts parts = PartsOf(path);
  std::string lines = Digest(parts.base);
  for (const fs::path& adapter : parts.adapters) lines += "+\n" + Digest(adapter);
  return io::Sha256(std::as_bytes(std::span(lines)));
}

}  // namespace forge::pipeline
