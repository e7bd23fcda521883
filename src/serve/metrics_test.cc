// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics.h"

#include <gmock/gmock.h>

namespace forge::serve {
namespace {

using testing::HasSubstr;

TEST(Histogram, CountsByUpperBoundAndAddsUp) {
  Histogram histogram({0.1, 1});
  for (const double value : {0.05, 0.1, 0.5, 7.0}) histogram.Observe(value);
  EXPECT_EQ(histogram.Text("x_seconds", "help"),
            "# HELP x_seconds help\n# TYPE x_seconds histogram\nx_seconds_bucket{le=\"0.1\"} 2\n"
            "x_seconds_bucket{le=\"1\"} 3\nx_seconds_bucket{le=\"+Inf\"} 4\nx_seconds_sum 7.650000\n"
            "x_seconds_count 4\n");
}

TEST(Metrics, ShowsWhatWasCounted) {
  Metrics metrics;
  EXPECT_EQ(metrics.MeanAnswerSeconds(), 1);
  metrics.CountRequest("/v1/completions", 200);
  metrics.CountRequest("/v1/completions", 200);
  metrics.CountRequest("/v1/completions", 429);
  metrics.ObserveAnswer(2);
  metrics.ObserveAnswer(4);
  EXPECT_EQ(metrics.MeanAnswerSeconds(), 3);
  const std::string text =
      metrics.Text({.running = 2, .waiting = 3, .key_value_bytes = 5, .prompt_tokens = 7}, 11, 13);
  for (const char* line :
       {"\nforge_requests_total{path=\"/v1/completions\",status=\"200\"} 2\n",
        "\nforge_requests_total{path=\"/v1/completions\",status=\"429\"} 1\n",
        "\nforge_sequences_running 2\n", "\nforge_sequences_waiting 3\n", "\nforge_key_value_bytes 5\n",
        "\nforge_prompt_tokens_total 7\n", "\nforge_key_value_limit_bytes 11\n", "\nforge_weight_bytes 13\n",
        "\nforge_answer_seconds_sum 6.000000\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

}  // namespace
}  // namespace forge::serve
