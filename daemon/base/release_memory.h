#pragma once

// Memory that the process needed and needs no more. Any thread.
namespace tokend {

// Gives freed memory, which the allocator would keep, back to the system. For after work that comes seldom
// and needed much memory, as this takes milliseconds.
void ReturnFreeMemory();

// Lets go of the mapped pages of the program and its libraries: most are code that runs once, at a start or a
// reload. The next use of a page maps it again, from the system's page cache.
void ReleaseCodePages();

}  // namespace tokend
