// SPDX-License-Identifier: Apache-2.0
#include "track/report_style.h"

namespace forge::track {
namespace {

// Palette: Okabe and Ito 2008, distinguishable with the common colour-vision deficiencies; lighter in the
// dark.
constexpr char kStyle[] = R"css(
:root{color-scheme:light dark;--page:#fafaf8;--card:#fff;--ink:#1c1d20;--muted:#63666d;--rule:#e2e2de;
--s0:#0072b2;--s1:#9a9da3;--s2:#d55e00;--s3:#009e73;--s4:#cc79a7;--s5:#b58900}
@media(prefers-color-scheme:dark){:root{--page:#141517;--card:#1c1e21;--ink:#e9e9e6;--muted:#a0a4ab;--rule:#34373c;
--s0:#56b4e9;--s1:#7d8289;--s2:#ff8a3d;--s3:#2fc79a;--s4:#e09bc2;--s5:#e0bb2f}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:32px 20px 64px}h1{font-size:28px;margin:0 0 4px}
h2{font-size:20px;margin:0 0 8px;display:flex;align-items:center;gap:10px}.sub{color:var(--muted);margin:0 0 24px}
section{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:20px 24px;margin:0 0 20px}
.headline{font-size:18px;margin:0 0 12px}.chip{font-size:12px;font-weight:600;padding:2px 10px;border-radius:99px;
border:1px solid var(--rule);color:var(--muted)}.chip.done{color:var(--s3);border-color:var(--s3)}
.chip.failed,.chip.interrupted{color:var(--s2);border-color:var(--s2)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:12px 20px;margin:0 0 16px}
dt{color:var(--muted);font-size:13px}dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
figure{margin:16px 0}figcaption{color:var(--muted);font-size:13px}svg{width:100%;height:auto;display:block}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px;margin:12px 0;
font-variant-numeric:tabular-nums}th{text-align:left;color:var(--muted);font-weight:500}
th,td{padding:6px 14px 6px 0;border-bottom:1px solid var(--rule);vertical-align:top}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--page);padding:12px;border-radius:8px;margin:0}
svg text{font:12px system-ui,sans-serif}.ink{fill:var(--ink)}.muted{fill:var(--muted)}svg .small{font-size:11px}
.grid{stroke:var(--rule)}.reference{stroke:var(--s2);stroke-dasharray:5 4;stroke-opacity:.75}
.curve{fill:none;stroke-width:1.5}.curve.bold{stroke-width:2.5}.edge{fill:none;stroke:var(--s1);stroke-opacity:.7}
.whisker{stroke:var(--ink);stroke-width:1.5}.soft{fill-opacity:.85}
.front{fill:none;stroke:var(--s0);stroke-opacity:.45}.dot{fill:var(--s1);fill-opacity:.45}
.curve.s0{stroke:var(--s0)}.curve.s1{stroke:var(--s1)}.fill.s0{fill:var(--s0)}.fill.s1{fill:var(--s1)}
.fill.s2{fill:var(--s2)}.fill.s3{fill:var(--s3)}.fill.s4{fill:var(--s4)}.fill.s5{fill:var(--s5)}
)css";

}  // namespace

const char* ReportStyle() { return kStyle; }

}  // namespace forge::track
