#pragma once

namespace tokend::fakes {

// A network namespace of the thread's own, and of the threads and programs that it starts from then on: the
// loopback alone, with one more address that a test can take away and give back. What is under way to it then
// is lost, and nothing is closed. The thread's own network is back at the end.
class OwnNetwork {
 public:
  static constexpr char kAddress[] = "10.255.0.1";

  OwnNetwork();
  ~OwnNetwork();
  OwnNetwork(const OwnNetwork&) = delete;
  OwnNetwork& operator=(const OwnNetwork&) = delete;

  // Whether there is one: it takes CAP_SYS_ADMIN, and a kernel that has them.
  bool permitted() const { return control_ >= 0; }

  void TakeAddressAway();
  void GiveAddressBack();

 private:
  void Leave();

  int outside_ = -1;
  int control_ = -1;
};

}  // namespace tokend::fakes
