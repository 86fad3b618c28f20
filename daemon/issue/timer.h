#pragma once

#include "daemon/loop/timer.h"

namespace tokend::issue {

using loop::Timer;

}  // namespace tokend::issue
