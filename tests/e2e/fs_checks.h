#pragma once

// What a container's root needs of its file system, checked from inside a guest on the directory
// `root`. Prints a line for each check that fails; returns how many did. `expect_readonly`: only
// that nothing can be changed.
int RunFsChecks(const char* root, bool expect_readonly);
