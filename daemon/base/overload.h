#pragma once

namespace tokend {

// One function object of several lambdas, for std::visit. A kind that none of them takes does not compile:
// give each kind its own lambda, and none a generic parameter.
template <class... Functions>
struct Overload : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overload(Functions...) -> Overload<Functions...>;

}  // namespace tokend
