#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "shim/cgroup/scope_name.h"

// Scopes of systemd's, by the program holt-scope, which alone knows D-Bus
// (docs/adr/0100-scopes-by-a-program-of-their-own.md). Properties are as in scope_properties.h.
namespace holt::shim {

// Does systemd run this host? sd_booted(3).
bool HostHasSystemd();

// Makes the scope and puts the calling process into it, and waits until both are done. A scope of
// that name which failed is reset; one that lives is an error. `program` is holt-scope's path. It
// goes when its last process does: CollectMode=inactive-or-failed.
base::Status StartScope(const std::string& program, const ScopeName& name, const std::string& what,
                        std::span<const std::string> properties);

// Changes properties of one that lives, until it ends.
base::Status SetScopeProperties(const std::string& program, const std::string& unit,
                                std::span<const std::string> properties);

// Is the cgroup at `place` a scope's? systemd removes that itself when it is empty; who is faster
// takes away what would have told it so (kernfs notifies later), and the unit stays for ever.
bool IsScope(const std::string& place);

// Waits a moment until systemd has forgotten the empty scope at `place`, and its name is free;
// false if it does not. For a place that is no scope's it returns true at once.
bool AwaitScopeGone(const std::string& place);

}  // namespace holt::shim
