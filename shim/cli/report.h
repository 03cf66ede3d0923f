#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "shim/cli/command.h"

// What the command says to its user. stdout belongs to the container and to results; everything
// else goes to stderr, and to the file of --log where there is one; warnings to one of them only.
namespace holt::shim::cli {

// Sets the form up. Errors: --log cannot be opened.
base::Status StartReporting(const Global& global);

// "holt: error: text", once per failure.
void ReportError(std::string_view text);
// "holt: warning: text".
void ReportWarning(std::string_view text);
// A line without "error": which back end was chosen, and the like.
void ReportNote(std::string_view text);

}  // namespace holt::shim::cli
