// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace forge::track {

/// The style sheet of report.html and of every page that shows its plots: light or dark as the reader's
/// system is.
const char* ReportStyle();

}  // namespace forge::track
