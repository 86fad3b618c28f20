#include "daemon/rpc/server.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <mutex>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "tests/fakes/own_hosts.h"
#include "tests/unit/rpc/server_fixture.h"

namespace tokend::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::ElementsAre;
using testing::StartsWith;
namespace reflection = grpc::reflection::v1alpha;

TEST_F(ServerTest, ReleasesATokenOverAUnixSocket) {
  Start({UnixListener()});
  Creation creation(ConnectUnix());
  const auto pending = issuer_.Next();
  EXPECT_EQ(pending->caller().name(), "dev");
  EXPECT_EQ(pending->caller().authentication(), Authentication::kNone);
  EXPECT_EQ(pending->caller().listener(), "pod");
  EXPECT_EQ(pending->caller().peer(), "unix:uid=" + std::to_string(geteuid()));
  EXPECT_EQ(pending->request().organization(), "acme");
  pending->Reply(ReleasedFor(pending->request()));

  ASSERT_TRUE(creation.Status().ok()) << creation.Status().error_message();
  const v1::CreateTokenResponse& response = creation.Response();
  EXPECT_EQ(response.token().id(), "0123456789abcdef01234567");
  EXPECT_EQ(response.token().organization(), "aaaaaaaaaaaaaaaaaaaaaaaa");
  EXPECT_EQ(response.token().application(), "bbbbbbbbbbbbbbbbbbbbbbbb");
  EXPECT_EQ(response.token().description(), "nightly");
  EXPECT_THAT(response.token().scopes(), ElementsAre("sdk"));
  EXPECT_EQ(response.token().bearer(), kBearer);
  EXPECT_EQ(response.request_id(), kUuid);
  EXPECT_EQ(response.audit_sequence(), kAuditSequence);
  EXPECT_FALSE(response.replayed());
}

TEST_F(ServerTest, SaysThatATokenIsReplayed) {
  Start({UnixListener()});
  Creation creation(ConnectUnix());
  const auto pending = issuer_.Next();
  pending->Reply(ReleasedFor(pending->request(), issue::Released::Kind::kReplayed));
  EXPECT_TRUE(creation.Response().replayed());
}

TEST_F(ServerTest, AnswersValidateOnlyWithoutIdAndBearer) {
  Start({UnixListener()});
  v1::CreateTokenRequest request = GoodRequest();
  request.set_validate_only(true);
  Creation creation(ConnectUnix(), request);
  const auto pending = issuer_.Next();
  EXPECT_TRUE(pending->request().validate_only());
  pending->Reply(issue::Validated{ReleasedFor(pending->request()).token, 9});
  ASSERT_TRUE(creation.Status().ok());
  EXPECT_EQ(creation.Response().token().description(), "nightly");
  EXPECT_EQ(creation.Response().token().id(), "");
  EXPECT_EQ(creation.Response().token().bearer(), "");
  EXPECT_EQ(creation.Response().audit_sequence(), 9U);
}

TEST_F(ServerTest, TellsACallerWhatItMay) {
  Start({UnixListener(), TcpListener()});
  v1::GetCallerResponse caller;
  ASSERT_TRUE(GetCaller(ConnectUnix(), &caller).ok());
  EXPECT_EQ(caller.caller(), "dev");
  EXPECT_EQ(caller.authentication(), "none");
  EXPECT_EQ(caller.listener(), "pod");
  ASSERT_EQ(caller.grants_size(), 1);
  EXPECT_EQ(caller.grants(0).name(), "mobile-ci");
  EXPECT_THAT(caller.grants(0).organizations(), ElementsAre("acme"));
  EXPECT_THAT(caller.grants(0).applications(), ElementsAre("ios-app", "android-*"));
  EXPECT_THAT(caller.grants(0).scopes(), ElementsAre("sdk"));
  ASSERT_EQ(caller.grants(0).limits_size(), 1);
  const v1::Limit& limit = caller.grants(0).limits(0);
  EXPECT_EQ(limit.name(), "minute");
  EXPECT_EQ(limit.tokens(), 10);
  EXPECT_EQ(limit.window().seconds(), 60);
  EXPECT_EQ(limit.burst(), 5);
  EXPECT_EQ(limit.remaining(), 1);
  EXPECT_EQ(limit.retry_after().seconds(), 2);
  EXPECT_EQ(limit.retry_after().nanos(), 500000000);

  EXPECT_FALSE(caller.more_grants());

  ASSERT_TRUE(GetCaller(Connect(server_->addresses()[1]), &caller).ok());
  EXPECT_EQ(caller.listener(), "local");
}

TEST_F(ServerTest, ShowsAtMost200GrantsAndSaysThatThereAreMore) {
  current_.Set(std::make_shared<issue::ConfigSnapshot>(issue::ConfigSnapshot{
      "", {std::vector<config::Grant>(201, MobileGrant()), {{"acme", config::KeyFile{"/key"}}}}}));
  Start({UnixListener()});
  v1::GetCallerResponse caller;
  ASSERT_TRUE(GetCaller(ConnectUnix(), &caller).ok());
  EXPECT_EQ(caller.grants_size(), 200);
  EXPECT_TRUE(caller.more_grants());
}

TEST_F(ServerTest, ServesEveryAddressOfANameAndLogsEach) {
  config::Listener listener = TcpListener();
  listener.address = config::TcpAddress{"several.test", 0};
  bool permitted = false;
  testing::internal::CaptureStderr();
  std::thread([&] {
    const fakes::OwnHosts own("127.0.0.1 several.test\n127.0.0.2 several.test\n192.0.2.1 several.test\n");
    permitted = own.permitted();
    if (permitted) Start({listener});
  }).join();
  if (!permitted) {
    testing::internal::GetCapturedStderr();
    GTEST_SKIP() << "no permission for a mount namespace";
  }
  const std::vector<std::string> addresses = server_->addresses();
  EXPECT_EQ(addresses.size(), 2U);
  for (const std::string& address : addresses) {
    v1::GetCallerResponse caller;
    EXPECT_TRUE(GetCaller(Connect(address), &caller).ok()) << address;
  }
  server_.reset();
  const std::string log = testing::internal::GetCapturedStderr();
  for (const std::string& address : addresses) {
    EXPECT_THAT(log, testing::HasSubstr("\"event\":\"listening\",\"listener\":\"local\",\"address\":\"" +
                                        address + "\""));
  }
  EXPECT_THAT(log, testing::HasSubstr(
                       "\"event\":\"address_skipped\",\"listener\":\"local\",\"address\":\"192.0.2.1:"));
}

TEST_F(ServerTest, KnowsTheAddressOfATcpPeer) {
  Start({TcpListener()});
  Creation creation(Connect(server_->addresses()[0]));
  const auto pending = issuer_.Next();
  EXPECT_THAT(pending->caller().peer(), StartsWith("ipv4:127.0.0.1:"));
  pending->Reply(Failure{Reason::kNotPermitted});
}

TEST_F(ServerTest, KnowsUnixPeersApart) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be someone else";
  config::Listener listener = UnixListener();
  listener.socket_mode = 0666;
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  Start({listener});
  for (const uid_t uid : {0, 12345, 54321, 12345}) {
    const Channel channel = ConnectUnix();
    ASSERT_EQ(seteuid(uid), 0);
    const bool connected = channel->WaitForConnected(std::chrono::system_clock::now() + kPatience);
    ASSERT_EQ(seteuid(0), 0);
    ASSERT_TRUE(connected);
    Creation creation(channel);
    const auto pending = issuer_.Next();
    EXPECT_EQ(pending->caller().peer(), "unix:uid=" + std::to_string(uid));
    pending->Reply(Failure{Reason::kNotPermitted});
  }
}

TEST_F(ServerTest, ServesManyUidsAtATimeOnAUnixListener) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be someone else";
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  config::Listener listener = UnixListener();
  listener.socket_mode = 0666;
  Start({listener});
  std::vector<Channel> channels;
  for (uid_t uid = 20000; uid < 20064; ++uid) {
    ASSERT_EQ(seteuid(uid), 0);
    channels.push_back(ConnectUnix());
    const std::string health = Health(channels.back());
    ASSERT_EQ(seteuid(0), 0);
    EXPECT_EQ(health, "SERVING") << uid;
  }
}

TEST_F(ServerTest, SaysWhyACallFailed) {
  Start({UnixListener()});
  Creation creation(ConnectUnix());
  Failure failure{Reason::kUpstreamRejected, "for the records alone"};
  failure.upstream_code = 5003;
  issuer_.Next()->Reply(failure);
  EXPECT_EQ(creation.Status().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  const google::rpc::ErrorInfo info = ErrorInfoOf(creation.Status());
  EXPECT_EQ(info.reason(), "UPSTREAM_REJECTED");
  EXPECT_EQ(info.metadata().at("request_id"), kUuid);
  EXPECT_EQ(info.metadata().at("upstream_code"), "5003");
  EXPECT_FALSE(creation.Trailer("grpc-retry-pushback-ms"));
}

TEST_F(ServerTest, ForbidsRetriesWhereATokenMayExist) {
  Start({UnixListener()});
  for (const Reason reason : {Reason::kOutcomeUnknown, Reason::kUpstreamInvalidResponse}) {
    Creation creation(ConnectUnix());
    issuer_.Next()->Reply(Failure{reason});
    EXPECT_EQ(creation.Trailer("grpc-retry-pushback-ms"), "-1");
  }
}

TEST_F(ServerTest, RefusesAMalformedRequestAndRecordsThat) {
  Start({UnixListener()});
  v1::CreateTokenRequest request = GoodRequest();
  request.set_application("!");
  Creation creation(ConnectUnix(), request);
  EXPECT_EQ(creation.Status().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ErrorInfoOf(creation.Status()).metadata().at("request_id"), kUuid);
  const auto refusals = issuer_.refusals();
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(refusals[0].reason, Reason::kInvalidRequest);
  EXPECT_EQ(refusals[0].caller, "dev");
  EXPECT_EQ(refusals[0].request_id.size(), 36U);
}

TEST_F(ServerTest, ARefusedCallIsRecordedWithItsTrace) {
  Start({UnixListener()});
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  v1::CreateTokenRequest request = GoodRequest();
  request.set_application("!");
  v1::CreateTokenResponse response;
  EXPECT_FALSE(v1::TokenService::NewStub(ConnectUnix())->CreateToken(&context, request, &response).ok());
  const auto refusals = issuer_.refusals();
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(refusals[0].trace, "0af7651916cd43dd8448eb211c80319c");
}

TEST_F(ServerTest, ARelaysMetadataReachesTheRequest) {
  Start({UnixListener()});
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("tokend-on-behalf-of", "unix:checkout");
  context.AddMetadata("tokend-request-age", "12");
  context.AddMetadata("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  issuer_.AnswerBy([](const std::shared_ptr<PendingRequest>& pending) {
    const TokenRequest& request = pending->request();
    EXPECT_EQ(request.traceparent(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    ASSERT_TRUE(request.relayed());
    EXPECT_EQ(request.relayed()->on_behalf_of, "unix:checkout");
    EXPECT_EQ(request.relayed()->age, std::chrono::seconds(12));
    pending->Reply(ReleasedFor(request));
  });
  v1::CreateTokenResponse response;
  EXPECT_TRUE(v1::TokenService::NewStub(ConnectUnix())->CreateToken(&context, GoodRequest(), &response).ok());
}

TEST_F(ServerTest, WrongMetadataOfARelayIsNamedInTheDetails) {
  Start({UnixListener()});
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("tokend-request-age", "soon");
  v1::CreateTokenResponse response;
  const grpc::Status status =
      v1::TokenService::NewStub(ConnectUnix())->CreateToken(&context, GoodRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "tokend-request-age must be 1 to 9 digits: whole seconds");
  EXPECT_EQ(ErrorInfoOf(status).reason(), "INVALID_REQUEST");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::BadRequest bad;
  ASSERT_TRUE(details.details_size() > 1 && details.details(1).UnpackTo(&bad));
  EXPECT_EQ(bad.field_violations(0).field(), "tokend-request-age");
}

TEST_F(ServerTest, ARefusedCallOfARelayIsRecordedWithItsCaller) {
  Start({UnixListener()});
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("tokend-on-behalf-of", "unix:checkout");
  v1::CreateTokenRequest request = GoodRequest();
  request.set_application("!");
  v1::CreateTokenResponse response;
  EXPECT_FALSE(v1::TokenService::NewStub(ConnectUnix())->CreateToken(&context, request, &response).ok());
  const auto refusals = issuer_.refusals();
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(refusals[0].on_behalf_of, "unix:checkout");
}

TEST_F(ServerTest, ARelayTakesNoCallOfARelay) {
  config::TokendUpstream centre;
  centre.address = config::UnixAddress{"/central"};
  config_.upstream = centre;
  Start({UnixListener()});
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("tokend-on-behalf-of", "unix:checkout");
  v1::CreateTokenResponse response;
  const grpc::Status status =
      v1::TokenService::NewStub(ConnectUnix())->CreateToken(&context, GoodRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "INVALID_REQUEST");
  EXPECT_EQ(status.error_message(),
            "this tokend is a relay and takes no calls of another relay; call the central tokend");
  Creation other(ConnectUnix());
  const auto pending = issuer_.Next();
  pending->Reply(ReleasedFor(pending->request()));
  EXPECT_TRUE(other.Status().ok());
}

TEST_F(ServerTest, RefusesBytesThatAreNoRequest) {
  Start({UnixListener()});
  for (const char* bytes : {"\xFF\xFF", "\x1A\x01\xFF"}) {  // no message; a description that is not UTF-8
    const grpc::Status status = CallRaw(ConnectUnix(), "/tokend.v1.TokenService/CreateToken", bytes);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ErrorInfoOf(status).reason(), "INVALID_REQUEST");
  }
}

TEST_F(ServerTest, RefusesAMessageThatIsTooLarge) {
  Start({UnixListener()});
  v1::CreateTokenRequest request = GoodRequest();
  request.set_description(std::string(65 * 1024, 'a'));
  EXPECT_EQ(Creation(ConnectUnix(), request).Status().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ServerTest, RefusesCallsPastTheMaximumInFlight) {
  config_.server.max_in_flight = 1;
  Start({UnixListener()});
  Creation first(ConnectUnix());
  const auto pending = issuer_.Next();

  Creation second(ConnectUnix());
  EXPECT_EQ(second.Status().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ErrorInfoOf(second.Status()).reason(), "OVERLOADED");
  ASSERT_EQ(issuer_.refusals().size(), 1U);
  EXPECT_EQ(issuer_.refusals()[0].reason, Reason::kOverloaded);
  EXPECT_EQ(issuer_.refusals()[0].listener, "pod");
  EXPECT_THAT(issuer_.refusals()[0].peer, StartsWith("unix:uid="));

  pending->Reply(Failure{Reason::kNotPermitted});
  first.Status();
  ASSERT_TRUE(server_->WaitIdle(steady_clock::now() + kPatience));
  Creation third(ConnectUnix());
  issuer_.Next()->Reply(Failure{Reason::kNotPermitted});
  EXPECT_EQ(third.Status().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

// So many calls of one caller, in flight until the end.
class InFlight {
 public:
  InFlight(FakeIssuer& issuer, const std::string& address, std::size_t count) : channel_(Connect(address)) {
    for (std::size_t i = 0; i < count; ++i) {
      calls_.push_back(std::make_unique<Creation>(channel_));
      pending_.push_back(issuer.Next());
    }
  }
  ~InFlight() {
    for (const auto& each : pending_) each->Reply(Failure{Reason::kNotPermitted});
  }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  std::string RefusalOfOneMore() const { return ErrorInfoOf(Creation(channel_).Status()).reason(); }

 private:
  const Channel channel_;
  std::vector<std::unique_ptr<Creation>> calls_;
  std::vector<std::shared_ptr<PendingRequest>> pending_;
};

TEST_F(ServerTest, KeepsTheLastQuarterOfCallsInFlightForCallersWithLess) {
  config_.server.max_in_flight = 8;
  config::Listener modest = TcpListener();
  modest.name = "modest";
  modest.authentication = config::NoAuthentication{"modest"};
  Start({TcpListener(), modest});
  const InFlight greedy(issuer_, server_->addresses()[0], 6);
  EXPECT_EQ(greedy.RefusalOfOneMore(), "OVERLOADED");
  const InFlight others(issuer_, server_->addresses()[1], 2);
  EXPECT_EQ(others.RefusalOfOneMore(), "OVERLOADED");
}

TEST_F(ServerTest, LetsTheOneCallerThatGrantsNameHaveAllCallsInFlight) {
  config_.server.max_in_flight = 8;
  config_.grants = {MobileGrant()};
  Start({TcpListener()});
  const InFlight only(issuer_, server_->addresses()[0], 8);
  EXPECT_EQ(only.RefusalOfOneMore(), "OVERLOADED");
}

TEST_F(ServerTest, TellsTheIssuerOfACancellationAndCountsTheCallUntilItsReply) {
  Start({UnixListener()});
  Creation creation(ConnectUnix());
  const auto pending = issuer_.Next();
  creation.Cancel();
  EXPECT_TRUE(pending->WaitCancelled());
  EXPECT_EQ(creation.Status().error_code(), grpc::StatusCode::CANCELLED);
  Eventually([&] { return CallsEnded("tokend.v1.TokenService/CreateToken", "CANCELLED") == 1; });

  EXPECT_EQ(server_->calls_in_flight(), 1U);
  pending->Reply(ReleasedFor(pending->request()));
  Eventually([&] { return server_->calls_in_flight() == 0; });
}

TEST_F(ServerTest, TellsTheIssuerThatADeadlineHasPassed) {
  Start({UnixListener()});
  const Channel channel = ConnectUnix();
  Creation creation(channel, GoodRequest(), seconds(1));
  const auto pending = issuer_.Next();
  EXPECT_TRUE(pending->WaitCancelled());
  EXPECT_EQ(creation.Status().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  pending->Reply(issue::Abandoned{});
}

TEST_F(ServerTest, SurvivesRepliesThatRaceCancellations) {
  Start({UnixListener()});
  const Channel channel = ConnectUnix();
  for (int i = 0; i < 100; ++i) {
    Creation creation(channel);
    const auto pending = issuer_.Next();
    std::thread replier([&] { pending->Reply(ReleasedFor(pending->request())); });
    creation.Cancel();
    replier.join();
    const grpc::StatusCode code = creation.Status().error_code();
    EXPECT_TRUE(code == grpc::StatusCode::OK || code == grpc::StatusCode::CANCELLED) << code;
  }
  EXPECT_TRUE(server_->WaitIdle(steady_clock::now() + kPatience));
}

TEST_F(ServerTest, AnswersManyCallsAtOnceFromAnotherThread) {
  Start({UnixListener()});
  constexpr int kCalls = 200;
  std::vector<std::unique_ptr<Creation>> creations;
  std::thread answerer([&] {
    for (int i = 0; i < kCalls; ++i) {
      const auto pending = issuer_.Next();
      pending->Reply(ReleasedFor(pending->request()));
    }
  });
  const Channel channel = ConnectUnix();
  for (int i = 0; i < kCalls; ++i) creations.push_back(std::make_unique<Creation>(channel));
  for (const auto& creation : creations) EXPECT_EQ(creation->Response().token().bearer(), kBearer);
  answerer.join();
  EXPECT_TRUE(server_->WaitIdle(steady_clock::now() + kPatience));
}

TEST_F(ServerTest, TakesAReplyThatComesBeforeCreateReturns) {
  Start({UnixListener()});
  issuer_.AnswerBy([](const auto& pending) { pending->Reply(ReleasedFor(pending->request())); });
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(Creation(ConnectUnix()).Status().ok());
}

TEST(MaxConnections, LeavesHalfOfTheDescriptorsToTheRest) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_EQ(MaxConnections(1), 50U);
  EXPECT_EQ(MaxConnections(2), 25U);
  EXPECT_EQ(MaxConnections(1000), 1U);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(ServerTest, StopsWithinItsGraceHoweverLongARepliesTakes) {
  Start({UnixListener()});
  Creation running(ConnectUnix());
  const auto pending = issuer_.Next();
  const auto start = steady_clock::now();
  server_->Stop(milliseconds(50));
  EXPECT_LT(steady_clock::now() - start, kPatience);
  EXPECT_FALSE(running.Status().ok());
  EXPECT_TRUE(pending->WaitCancelled());

  server_.reset();
  pending->Reply(ReleasedFor(pending->request()));
}

TEST_F(ServerTest, EndsACallWhoseReplyIsNeverGiven) {
  Start({UnixListener()});
  Creation running(ConnectUnix());
  const auto pending = issuer_.Next();
  pending->Drop();
  server_->Stop(milliseconds(0));
  EXPECT_FALSE(running.Status().ok());
  EXPECT_EQ(server_->calls_in_flight(), 0U);
}

TEST_F(ServerTest, StopsWithHealthWatchersConnected) {
  Start({UnixListener()});
  const Channel channel = ConnectUnix();
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  grpc::CompletionQueue queue;
  auto stream = stub.PrepareCall(&context, "/grpc.health.v1.Health/Watch", &queue);
  void* tag = nullptr;
  bool ok = false;
  stream->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice empty;
  stream->WriteLast(grpc::ByteBuffer(&empty, 1), {}, nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer answer;
  stream->Read(&answer, nullptr);
  queue.Next(&tag, &ok);
  EXPECT_TRUE(ok);

  grpc::ByteBuffer next;
  stream->Read(&next, nullptr);
  std::thread watcher([&] {
    while (queue.Next(&tag, &ok) && ok) stream->Read(&next, nullptr);
  });
  const auto start = steady_clock::now();
  server_->Stop(milliseconds(50));
  watcher.join();
  EXPECT_LT(steady_clock::now() - start, kPatience / 2);
  grpc::Status status;
  stream->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  EXPECT_FALSE(status.ok());
}

TEST_F(ServerTest, IsNotServingUntilToldSo) {
  config_.listeners = {UnixListener()};
  auto server = StartServer();
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(Health(ConnectUnix()), "NOT_SERVING");
  EXPECT_EQ(Health(ConnectUnix(), ""), "NOT_SERVING");
  (*server)->SetServing(Serving::kYes);
  EXPECT_EQ(Health(ConnectUnix()), "SERVING");
  EXPECT_EQ(Health(ConnectUnix(), ""), "SERVING");
}

TEST_F(ServerTest, CountsEveryCallByMethodAndStatus) {
  Start({UnixListener()});
  const Channel channel = ConnectUnix();
  v1::GetCallerResponse caller;
  ASSERT_TRUE(GetCaller(channel, &caller).ok());
  Health(channel);
  Creation creation(channel);
  issuer_.Next()->Reply(Failure{Reason::kNotPermitted});
  creation.Status();
  EXPECT_EQ(CallsEnded("tokend.v1.TokenService/GetCaller", "OK"), 1U);
  EXPECT_EQ(CallsEnded("grpc.health.v1.Health/Check", "OK") + CallsEnded("other", "OK"), 1U);
  EXPECT_EQ(CallsEnded("tokend.v1.TokenService/CreateToken", "PERMISSION_DENIED"), 1U);
}

TEST_F(ServerTest, AnswersReflection) {
  Start({UnixListener()});
  const auto [status, names] = ListServices(ConnectUnix());
  EXPECT_TRUE(status.ok());
  EXPECT_THAT(names, ElementsAre("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                 "grpc.reflection.v1alpha.ServerReflection", kService));

  grpc::ClientContext context;
  SetDeadline(context);
  auto stream = reflection::ServerReflection::NewStub(ConnectUnix())->ServerReflectionInfo(&context);
  reflection::ServerReflectionRequest request;
  reflection::ServerReflectionResponse response;
  request.set_file_containing_symbol("tokend.v1.TokenService.CreateToken");
  stream->Write(request);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 2);  // and Duration
  request.set_file_by_filename("no/such.proto");
  stream->Write(request);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ServerTest, KnowsAWorkloadByItsCertificate) {
  const fakes::TestAuthority authority;
  Start({MtlsListener(authority)});
  v1::GetCallerResponse caller;
  ASSERT_TRUE(GetCaller(ConnectTls(authority.certificate(), authority.Issue("URI:" + std::string(kSpiffeId))),
                        &caller)
                  .ok());
  EXPECT_EQ(caller.caller(), kSpiffeId);
  EXPECT_EQ(caller.authentication(), "mtls");
  EXPECT_EQ(caller.listener(), "cluster");

  ASSERT_TRUE(
      GetCaller(ConnectTls(authority.certificate(), authority.Issue("DNS:Runner.example")), &caller).ok());
  EXPECT_EQ(caller.caller(), "dns:runner.example");

  ASSERT_TRUE(
      GetCaller(ConnectTls(authority.certificate(),
                           authority.Issue("DNS:a.example,URI:" + std::string(kSpiffeId) + ",DNS:b.example")),
                &caller)
          .ok());
  EXPECT_EQ(caller.caller(), kSpiffeId);
}

TEST_F(ServerTest, GivesHealthAndNothingElseToACertificateThatNamesNobody) {
  const fakes::TestAuthority authority;
  Start({MtlsListener(authority)});
  for (const std::string& names :
       {std::string(), std::string("URI:spiffe://a.example/x,URI:spiffe://a.example/y"),
        std::string("IP:10.0.0.1"), std::string("URI:spiffe://a.example:80/c?x=1"),
        std::string("DNS:*.example"), std::string("URI:https://a.example,DNS:a.example"),
        std::string("DNS:a.example,DNS:b.example")}) {
    const Channel channel = ConnectTls(authority.certificate(), authority.Issue(names));
    v1::GetCallerResponse caller;
    const grpc::Status status = GetCaller(channel, &caller);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << names;
    EXPECT_EQ(ErrorInfoOf(status).reason(), "CALLER_UNKNOWN");
    EXPECT_EQ(issuer_.refusals().back().reason, Reason::kCallerUnknown);
    EXPECT_EQ(issuer_.refusals().back().caller, std::nullopt);

    Creation creation(channel);
    EXPECT_EQ(creation.Status().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    const auto [listed, services] = ListServices(channel);
    EXPECT_EQ(listed.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_TRUE(services.empty());
    EXPECT_EQ(Health(channel), "SERVING");
    EXPECT_EQ(Health(channel, ""), "SERVING");
  }
}

TEST_F(ServerTest, ClosesConnectionsWithoutACertificateOfItsAuthority) {
  const fakes::TestAuthority authority;
  const fakes::TestAuthority other;
  Start({MtlsListener(authority)});
  v1::GetCallerResponse caller;
  const std::string names = "URI:" + std::string(kSpiffeId);
  for (const fakes::Identity& identity : {fakes::Identity{}, other.Issue(names)}) {
    EXPECT_EQ(GetCaller(ConnectTls(authority.certificate(), identity), &caller).error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(GetCaller(Connect(server_->addresses()[0]), &caller).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(issuer_.refusals().empty());
}

TEST_F(ServerTest, CountsHandshakesThatFail) {
  const fakes::TestAuthority authority;
  Start({MtlsListener(authority), TcpListener()});
  const auto failed = [&] {
    const std::string text = metrics_.Text();
    const std::string line = "\ntokend_tls_handshakes_failed_total ";
    return std::stoi(text.substr(text.find(line) + line.size()));
  };
  EXPECT_EQ(failed(), 0);
  v1::GetCallerResponse caller;
  ASSERT_TRUE(GetCaller(ConnectTls(authority.certificate(), authority.Issue("DNS:a.example")), &caller).ok());
  EXPECT_EQ(TcpConnectError(PortOf(server_->addresses()[1])), 0);  // no TLS there
  EXPECT_EQ(failed(), 0);
  EXPECT_EQ(TcpConnectError(PortOf(server_->addresses()[0])), 0);  // and gone
  Eventually([&] { return failed() == 1; });
  EXPECT_FALSE(GetCaller(ConnectTls(authority.certificate(), {}), &caller).ok());
  Eventually([&] { return failed() >= 2; });
}

TEST_F(ServerTest, AChainOfWhichOneIsBrokenAndAKeyThatIsTooShortAreNeverRead) {
  const fakes::TestAuthority authority;
  config_.listeners = {MtlsListener(authority)};
  const std::string good = authority.Issue("DNS:localhost").certificate;
  std::string broken = good;
  broken.replace(broken.size() / 2, 8, "????????");
  for (const std::string& ca : {broken, good + broken, broken + good, std::string("none")}) {
    WriteFile("ca.crt", ca);
    EXPECT_EQ(StartServer().status().code(), absl::StatusCode::kInvalidArgument);
  }
  WriteFile("ca.crt", good + authority.certificate());
  EXPECT_TRUE(ReadServerSettings(config_).ok());

  const fakes::Identity weak = authority.IssueWithShortKey("DNS:localhost");
  WriteFile("tls.crt", weak.certificate);
  WriteFile("tls.key", weak.private_key);
  EXPECT_THAT(std::string(ReadServerSettings(config_).status().message()),
              testing::HasSubstr("a key that is too short"));
}

TEST_F(ServerTest, NeedsTlsFilesThatFit) {
  const fakes::TestAuthority authority;
  config::Listener listener = MtlsListener(authority);
  WriteFile("tls.key", authority.Issue("").private_key);
  config_.listeners = {listener};
  EXPECT_EQ(StartServer().status().code(), absl::StatusCode::kInvalidArgument);
  WriteFile("tls.key", "");
  EXPECT_EQ(StartServer().status().code(), absl::StatusCode::kInvalidArgument);
  listener.tls->client_ca_file = folder_ / "missing";
  config_.listeners = {listener};
  EXPECT_EQ(StartServer().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerTest, DoesNotStartBesideAnotherDaemon) {
  Start({UnixListener(), TcpListener()});
  config_.listeners = {UnixListener()};
  EXPECT_EQ(StartServer().status().code(), absl::StatusCode::kAlreadyExists);

  config::Listener same_port = TcpListener();
  same_port.address = config::TcpAddress{"127.0.0.1", PortOf(server_->addresses()[1])};
  config_.listeners = {same_port};
  EXPECT_EQ(StartServer().status().code(), absl::StatusCode::kAlreadyExists);

  v1::GetCallerResponse caller;
  EXPECT_TRUE(GetCaller(ConnectUnix(), &caller).ok());
}

TEST_F(ServerTest, LeavesNoSocketBehindWhereItCannotStart) {
  Start({TcpListener()});
  config::Listener same_port = TcpListener();
  same_port.address = config::TcpAddress{"127.0.0.1", PortOf(server_->addresses()[0])};
  config_.listeners = {UnixListener(), same_port};
  EXPECT_FALSE(StartServer().ok());
  EXPECT_FALSE(std::filesystem::exists(SocketPath()));
}

TEST_F(ServerTest, KnowsAUnixCallerByItsUidAndOthersNot) {
  config::Listener listener = UnixListener();
  listener.authentication = config::UnixAuthentication{{{geteuid(), "unix:tests"}}};
  Start({listener});
  v1::GetCallerResponse caller;
  ASSERT_TRUE(GetCaller(ConnectUnix(), &caller).ok());
  EXPECT_EQ(caller.caller(), "unix:tests");
  EXPECT_EQ(caller.authentication(), "unix");
  server_.reset();

  listener.authentication = config::UnixAuthentication{{{geteuid() + 1, "unix:other"}}};
  Start({listener});
  const Channel channel = ConnectUnix();
  EXPECT_EQ(ErrorInfoOf(GetCaller(channel, &caller)).reason(), "CALLER_UNKNOWN");
  EXPECT_EQ(ListServices(channel).first.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Health(channel), "SERVING");
}

// Says who calls when the test does.
class SlowAuthenticator final : public identity::Authenticator {
 public:
  bool IsByConnection() const override { return false; }

  void Authenticate(identity::Evidence evidence, Done done) const override {
    const std::lock_guard lock(mutex_);
    for (const Secret& value : evidence.authorization) seen_.emplace_back(value.Expose());
    waiting_.push_back(std::move(done));
  }

  std::size_t waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  std::vector<std::string> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

  // From a thread that is not gRPC's.
  void AnswerAll(bool known) const {
    std::vector<Done> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting.swap(waiting_);
    }
    std::thread([&] {
      for (Done& done : waiting) {
        done(known ? Result<Caller>(MakeCaller("dev", Authentication::kJwt, "pod", "unix:uid=0"))
                   : Result<Caller>(absl::UnauthenticatedError("unknown")));
      }
    }).join();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::vector<Done> waiting_;
  mutable std::vector<std::string> seen_;
};

class SlowlyKnownTest : public ServerTest {
 protected:
  void SetUp() override {
    Start({UnixListener()});
    ServerSettings settings = *ReadServerSettings(config_);
    settings.listeners[0].authenticator = authenticator_;
    server_->Apply(settings);
  }

  std::shared_ptr<const SlowAuthenticator> authenticator_ = std::make_shared<SlowAuthenticator>();
};

TEST_F(SlowlyKnownTest, ACallWaitsUntilItsCallerIsKnown) {
  const Channel channel = ConnectUnix();
  Creation creation(channel);
  Eventually([&] { return authenticator_->waiting() == 1; });
  Eventually([&] { return server_->calls_in_flight() == 1; });
  authenticator_->AnswerAll(true);
  issuer_.Next()->Reply(Failure{Reason::kNotPermitted});
  EXPECT_EQ(ErrorInfoOf(creation.Status()).reason(), "NOT_PERMITTED");

  std::thread asks([&] {
    v1::GetCallerResponse response;
    EXPECT_TRUE(GetCaller(channel, &response).ok());
  });
  Eventually([&] { return authenticator_->waiting() == 1; });
  authenticator_->AnswerAll(true);
  asks.join();

  std::thread lists([&] { EXPECT_TRUE(ListServices(channel).first.ok()); });
  Eventually([&] { return authenticator_->waiting() == 1; });
  authenticator_->AnswerAll(true);
  lists.join();
}

TEST_F(SlowlyKnownTest, ACallThatIsCancelledMeanwhileIsCalledOff) {
  const Channel channel = ConnectUnix();
  for (const bool known : {true, false}) {
    Creation creation(channel);
    Eventually([&] { return authenticator_->waiting() == 1; });
    creation.Cancel();
    EXPECT_EQ(creation.Status().error_code(), grpc::StatusCode::CANCELLED);
    authenticator_->AnswerAll(known);
    if (known) {
      EXPECT_TRUE(issuer_.Next()->WaitCancelled());
    }
    Eventually([&] { return known || server_->calls_in_flight() == 0; });
  }
}

TEST_F(SlowlyKnownTest, AnAuthenticatorGetsEveryAuthorizationThatWasSent) {
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("authorization", "Bearer one");
  context.AddMetadata("authorization", "Bearer two");
  const auto stub = v1::TokenService::NewStub(ConnectUnix());
  std::thread asks([&] {
    v1::GetCallerResponse response;
    EXPECT_FALSE(stub->GetCaller(&context, {}, &response).ok());
  });
  Eventually([&] { return authenticator_->waiting() == 1; });
  EXPECT_THAT(authenticator_->seen(), testing::UnorderedElementsAre("Bearer one", "Bearer two"));
  authenticator_->AnswerAll(false);
  asks.join();
}

TEST_F(ServerTest, SwapsCertificateKeyAndCaTogetherForNewConnections) {
  const fakes::TestAuthority before;
  const fakes::TestAuthority after;
  Start({MtlsListener(before)});
  const fakes::Identity old_client = before.Issue("URI:" + std::string(kSpiffeId));
  const Channel old_connection = ConnectTls(before.certificate(), old_client);
  v1::GetCallerResponse caller;
  ASSERT_TRUE(GetCaller(old_connection, &caller).ok());

  config_.listeners = {MtlsListener(after)};  // writes the files
  const Result<ServerSettings> settings = ReadServerSettings(config_);
  ASSERT_TRUE(settings.ok());
  server_->Apply(*settings);
  EXPECT_TRUE(
      GetCaller(ConnectTls(after.certificate(), after.Issue("URI:" + std::string(kSpiffeId))), &caller).ok());
  EXPECT_FALSE(GetCaller(ConnectTls(before.certificate(), old_client), &caller).ok());
  EXPECT_FALSE(GetCaller(ConnectTls(after.certificate(), old_client), &caller).ok());
  EXPECT_TRUE(GetCaller(old_connection, &caller).ok());
}

TEST_F(ServerTest, APairThatDoesNotMatchIsNeverRead) {
  const fakes::TestAuthority authority;
  config_.listeners = {MtlsListener(authority)};
  const Result<ServerSettings> running = ReadServerSettings(config_);
  ASSERT_TRUE(running.ok());
  const Result<ServerSettings> same = ReadServerSettings(config_, &*running);
  ASSERT_TRUE(same.ok());
  EXPECT_TRUE(ChangedKeys(*running, *same).empty());
  WriteFile("tls.key", authority.Issue("DNS:localhost").private_key);
  const Result<ServerSettings> halfway = ReadServerSettings(config_, &*running);
  ASSERT_FALSE(halfway.ok());
  EXPECT_THAT(std::string(halfway.status().message()), StartsWith("listener cluster: "));
  MtlsListener(authority);
  const Result<ServerSettings> whole = ReadServerSettings(config_, &*running);
  ASSERT_TRUE(whole.ok());
  EXPECT_THAT(ChangedKeys(*running, *whole), ElementsAre("listener cluster: certificate, key or CA"));
}

}  // namespace
}  // namespace tokend::rpc
