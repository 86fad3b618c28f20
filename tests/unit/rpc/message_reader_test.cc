#include "daemon/rpc/message_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "daemon/rpc/bounds.h"
#include "tests/fakes/http2_client.h"

namespace tokend::rpc {
namespace {

using fakes::http2::Message;
using Problem = MessageReader::Problem;

TEST(MessageReader, TakesMessagesApartHoweverTheyCome) {
  const std::string bytes = Message("first") + Message("") + Message("third");
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    MessageReader reader;
    std::string taken;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      reader.Append(bytes.substr(at, step));
      while (reader.HasMessage()) taken += "<" + reader.TakeMessage() + ">";
    }
    EXPECT_EQ(taken, "<first><><third>") << step;
    EXPECT_EQ(reader.size(), 0U);
    EXPECT_FALSE(reader.HasPart());
  }
}

TEST(MessageReader, KnowsWhatIsMissing) {
  MessageReader reader;
  const std::string bytes = Message(std::string(100, 'x'));
  reader.Append(bytes.substr(0, 4));
  EXPECT_EQ(reader.MissingBytes(), 0U);
  EXPECT_TRUE(reader.HasPart());
  reader.Append(bytes.substr(4, 6));
  EXPECT_EQ(reader.MissingBytes(), 95U);
  reader.Append(bytes.substr(10));
  EXPECT_EQ(reader.MissingBytes(), 0U);
  EXPECT_TRUE(reader.HasMessage());
  EXPECT_FALSE(reader.HasMoreThanOne());
  reader.Append("x");
  EXPECT_TRUE(reader.HasMoreThanOne());
}

TEST(MessageReader, TakesTheLongestMessageThatIsAllowed) {
  MessageReader reader;
  reader.Append(Message(std::string(bounds::kMaxMessageBytes, 'x')));
  ASSERT_TRUE(reader.HasMessage());
  EXPECT_EQ(reader.TakeMessage().size(), bounds::kMaxMessageBytes);
}

TEST(MessageReader, RefusesByTheHeadAloneAndHoldsNothing) {
  for (const auto& [head, problem] : {std::pair{std::string("\0\0\1\0\1", 5), Problem::kTooLarge},
                                      {std::string("\0\xFF\xFF\xFF\xFF", 5), Problem::kTooLarge},
                                      {std::string("\1\0\0\0\1", 5), Problem::kCompressed},
                                      {std::string("\1\xFF\xFF\xFF\xFF", 5), Problem::kCompressed},
                                      {std::string("\2\0\0\0\1", 5), Problem::kBadPrefix},
                                      {std::string("\xFF\0\0\0\1", 5), Problem::kBadPrefix}}) {
    MessageReader reader;
    reader.Append(head.substr(0, 4));
    EXPECT_EQ(reader.problem(), Problem::kNone);
    reader.Append(head.substr(4));
    EXPECT_EQ(reader.problem(), problem);
    reader.Append(std::string(1000, 'x'));
    EXPECT_EQ(reader.size(), 0U);
    EXPECT_FALSE(reader.HasMessage());
  }
}

TEST(MessageReader, RefusesALaterMessageAsWell) {
  MessageReader reader;
  reader.Append(Message("good") + Message("bad", 1));
  ASSERT_TRUE(reader.HasMessage());
  EXPECT_EQ(reader.TakeMessage(), "good");
  EXPECT_EQ(reader.problem(), Problem::kCompressed);
}

}  // namespace
}  // namespace tokend::rpc
