// SPDX-License-Identifier: Apache-2.0
#include "runtime/attention.h"

#include <algorithm>
#include <cmath>

#include "base/thread_pool.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {
namespace {

/// Rows of scores held at once, over the whole context: 48 x context floats, 1.6 MB at 8k tokens, are still
/// faster than 24, since keys and values are read (and widened) half as often; and cutting the context into
/// blocks with a running softmax was slower (docs/results.md).
constexpr std::size_t kRowsPerBlock = 48;
constexpr std::size_t kTasksOfThread = 16;  // so that the last ones are short

/// Tokens rows[first, last): one sequence, so that they see the same keys up to the last one's position.
struct Block {
  std::size_t first, last;
  int key_value_head;
};

std::vector<Block> CutIntoBlocks(const model::ModelConfig& config, std::span<const TokenInput> tokens,
                                 std::span<const int> rows) {
  const auto group = static_cast<std::size_t>(config.num_attention_heads / config.num_key_value_heads);
  const std::size_t most = std::max<std::size_t>(1, kRowsPerBlock / group);
  std::vector<Block> blocks;
  for (std::size_t first = 0, last; first < rows.size(); first = last) {
    const int sequence = tokens[static_cast<std::size_t>(rows[first])].sequence;
    for (last = first + 1; last < rows.size() && last - first < most; ++last)
      if (tokens[static_cast<std::size_t>(rows[last])].sequence != sequence) break;
    for (int head = 0; head < config.num_key_value_heads; ++head) blocks.push_back({first, last, head});
  }
  return blocks;
}

struct Scratch {
  std::vector<KeyValueSpan> spans;
  std::vector<float> queries;  // [rows, head_dim]
  std::vector<float> scores;   // [rows, context]
  std::vector<float> results;  // [rows, head_dim]
  std::vector<float> widened;  // keys or values of kChunk positions
};

/// Positions whose keys or values are widened at a time; a multiple of the panels' width.
constexpr std::size_t kChunk = 256;

/// product with the narrow panels: straight from them for few rows; for more, widened by pieces of kChunk
/// columns or of kChunk rows, whose floats stay in cache. The same bits either way.
void MultiplyNarrow(const PanelProduct& product, const NarrowPanels& panels, bool by_columns, Scratch& s) {
  if (product.rows <= kNarrowRows) return Multiply(product, panels);
  const std::size_t size = by_columns ? product.columns : product.depth;
  for (std::size_t first = 0; first < size; first += kChunk) {
    const std::size_t count = std::min(kChunk, size - first);
    PanelProduct piece = product;
    NarrowPanels narrow = panels;
    if (by_columns) {
      piece.columns = count;
      piece.out += first;
      narrow = panels.FromPanel(first / kPanelWidth);
    } else {
      piece.depth = count;
      piece.x += first;
      piece.accumulate = product.accumulate || first > 0;
      narrow = panels.FromRow(first);
    }
    piece.panel_stride = piece.depth * kPanelWidth;
    s.widened.resize((piece.columns + kPanelWidth - 1) / kPanelWidth * piece.panel_stride);
    Widen(narrow, piece.columns, piece.depth, s.widened.data());
    piece.panels = s.widened.data();
    Multiply(piece);
  }
}

/// scores [rows, context] of the span's positions from column `start` on.
void AddScores(std::size_t head_dim, const KeyValueSpan& span, std::size_t rows, std::size_t context,
               std::size_t start, Scratch& s) {
  PanelProduct product{.x = s.queries.data(),
                       .x_stride = head_dim,
                       .rows = rows,
                       .panels = nullptr,
                       .panel_stride = head_dim * kPanelWidth,
                       .depth = head_dim,
                       .out = s.scores.data() + start,
                       .out_stride = context,
                       .columns = static_cast<std::size_t>(span.length)};
  if (span.type != KeyValueType::kFloat32) return MultiplyNarrow(product, span.NarrowKeys(head_dim), true, s);
  product.panels = reinterpret_cast<const float*>(span.keys);
  Multiply(product);
}

/// Adds the span's share to results [rows, head_dim]; start 0 begins them.
void AddValues(std::size_t head_dim, const KeyValueSpan& span, std::size_t rows, std::size_t context,
               std::size_t start, Scratch& s) {
  PanelProduct product{.x = s.scores.data() + start,
                       .x_stride = context,
                       .rows = rows,
                       .panels = nullptr,
                       .panel_stride = span.value_panel_stride,
                       .depth = static_cast<std::size_t>(span.length),
                       .out = s.results.data(),
                       .out_stride = head_dim,
                       .columns = head_dim,
                       .accumulate = start > 0};
  if (span.type != KeyValueType::kFloat32) return MultiplyNarrow(product, span.NarrowValues(), false, s);
  product.panels = reinterpret_cast<const float*>(span.values);
  Multiply(product);
}

/// results = softmax(queries K^T scale) V; row r sees the first seen[r] positions of the spans.
void AttendRows(std::size_t head_dim, float scale, std::span<const std::size_t> seen, Scratch& s) {
  std::size_t context = 0;
  for (const KeyValueSpan& span : s.spans) context += static_cast<std::size_t>(span.length);
  s.scores.resize(seen.size() * context);
  std::size_t start = 0;
  for (const KeyValueSpan& span : s.spans) {
    AddScores(head_dim, span, seen.size(), context, start, s);
    start += static_cast<std::size_t>(span.length);
  }
  for (std::size_t r = 0; r < seen.size(); ++r) {
    float* row = s.scores.data() + r * context;
    Kernels().softmax(row, seen[r], scale);
    std::fill(row + seen[r], row + context, 0.0f);  // later positions of the block add nothing
  }
  s.results.resize(seen.size() * head_dim);
  start = 0;
  for (const KeyValueSpan& span : s.spans) {
    AddValues(head_dim, span, seen.size(), context, start, s);
    start += static_cast<std::size_t>(span.length);
  }
}

}  // namespace

void Attend(const model::ModelConfig& config, int layer, std::span<const TokenInput> tokens,
            std::span<const int> rows, std::span<KeyValueCache* const> caches, const float* queries,
            std::size_t query_stride, float* attended) {
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  const auto query_size = static_cast<std::size_t>(config.query_size());
  const auto group = static_cast<std::size_t>(config.num_attention_heads / config.num_key_value_heads);
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  const std::vector<Block> blocks = CutIntoBlocks(config, tokens, rows);
  // Later blocks see more of the text. Each task takes blocks from the end on, so that the long ones are
  // begun first and all tasks are about as long.
  ThreadPool& pool = ThreadPool::Global();
  const std::size_t tasks =
      std::min(blocks.size(), kTasksOfThread * static_cast<std::size_t>(pool.num_threads()));
  pool.Run(tasks, [&](std::size_t task) {
    thread_local Scratch s;
    std::vector<std::size_t> seen;
    for (std::size_t b = task; b < blocks.size(); b += tasks) {
      const Block& block = blocks[blocks.size() - 1 - b];
      const std::size_t offset = static_cast<std::size_t>(block.key_value_head) * group * head_dim;
      s.queries.clear();
      seen.clear();
      for (std::size_t r = block.first; r < block.last; ++r) {
        const auto t = static_cast<std::size_t>(rows[r]);
        const float* query = queries + t * query_stride + offset;
        s.queries.insert(s.queries.end(), query, query + group * head_dim);
        seen.insert(seen.end(), group, static_cast<std::size_t>(tokens[t].position) + 1);
      }
      const TokenInput& last = tokens[static_cast<std::size_t>(rows[block.last - 1])];
      s.spans.clear();
      caches[static_cast<std::size_t>(last.sequence)]->AppendSpans(layer, block.key_value_head, last.position,
                                                                   s.spans);
      AttendRows(head_dim, scale, seen, s);
      for (std::size_t r = block.first; r < block.last; ++r)
        std::copy_n(s.results.data() + (r - block.first) * group * head_dim, group * head_dim,
                    attended + r * query_size + offset);
    }
  });
}

}  // namespace forge::runtime
