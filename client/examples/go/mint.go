// Asks tokend for a token over stock gRPC. Before the first run, from the top folder, with protoc-gen-go and
// protoc-gen-go-grpc in the PATH:
//
//	mkdir -p build/go
//	protoc -I proto --go_out=build/go --go-grpc_out=build/go tokend/v1/token_service.proto
//	cp client/examples/go/mint.go build/go/tokend && cd build/go/tokend && go mod init tokend && go mod tidy
//	go run . unix:///run/tokend/tokend.sock APPLICATION
//	go run . --ca ca.crt --cert me.crt --key me.key tokend.platform.svc:8443 APPLICATION
//	go run . --ca ca.crt --token-file /var/run/secrets/tokens/tokend tokend.platform.svc:8444 APPLICATION
//
// Prints the token's id, or with --bearer the secret. An error names the request_id: with --request-id,
// a later run asks for the same token again.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	mathrand "math/rand"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/local"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	tokendv1 "tokend/proto/tokend/v1"
)

const (
	timeout      = 30 * time.Second
	maxAttempts  = 5
	firstBackoff = 200 * time.Millisecond
)

var (
	ca        = flag.String("ca", "", "the CA of tokend's certificate; default: the system's")
	cert      = flag.String("cert", "", "the client certificate, with --key")
	key       = flag.String("key", "", "its private key")
	tokenFile = flag.String("token-file", "", "a file with a token that says who calls")
	requestID = flag.String("request-id", newUUID(), "that of an earlier run, to ask again")
	bearer    = flag.Bool("bearer", false, "print the secret instead of the id")
)

// bearerFile is a file with a token. It is read for each call, because a kubelet replaces the token.
type bearerFile string

func (file bearerFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := os.ReadFile(string(file))
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, err
}

func (bearerFile) RequireTransportSecurity() bool { return true }

// transport is TLS, unless the address is a unix socket, or a loopback address without TLS files and token.
func transport(address string) credentials.TransportCredentials {
	host := address[:strings.LastIndex(address, ":")]
	loopback := host == "localhost" || host == "[::1]" || strings.HasPrefix(host, "127.")
	if host == "unix" || loopback && *ca+*cert+*tokenFile == "" {
		return local.NewCredentials()
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		check(err)
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		check(err)
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config)
}

// detailsOf finds what tokend says about a failure; both are nil where the connection was lost.
func detailsOf(failure *status.Status) (info *errdetails.ErrorInfo, retry *errdetails.RetryInfo) {
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			info = detail
		case *errdetails.RetryInfo:
			retry = detail
		}
	}
	return info, retry
}

// retryDelay says after which time the same request may be sent again, or that it must not be.
func retryDelay(failure *status.Status, trailer metadata.MD, attempt int) (time.Duration, bool) {
	unavailable := failure.Code() == codes.Unavailable
	if len(trailer.Get("grpc-retry-pushback-ms")) > 0 || !unavailable && failure.Code() != codes.ResourceExhausted {
		return 0, false
	}
	delay := time.Duration(float64(firstBackoff<<attempt) * (0.5 + mathrand.Float64()/2))
	info, retry := detailsOf(failure)
	wait := time.Duration(retry.GetRetryDelay().GetSeconds())*time.Second +
		time.Duration(retry.GetRetryDelay().GetNanos())
	return wait + delay, retry != nil || info == nil && unavailable
}

func createToken(client tokendv1.TokenServiceClient, request *tokendv1.CreateTokenRequest) (*tokendv1.Token, error) {
	deadline := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for attempt := 0; ; attempt++ {
		var trailer metadata.MD
		// Waits for a daemon that is not up yet. Otherwise gRPC fails at once, and connects only while it is called.
		response, err := client.CreateToken(ctx, request, grpc.WaitForReady(true), grpc.Trailer(&trailer))
		if err == nil {
			return response.GetToken(), nil
		}
		delay, again := retryDelay(status.Convert(err), trailer, attempt)
		if !again || attempt+1 == maxAttempts || time.Until(deadline) <= delay {
			return nil, err
		}
		time.Sleep(delay)
	}
}

func newUUID() string {
	var id [16]byte
	_, err := rand.Read(id[:])
	check(err)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	if flag.NArg() != 2 || !strings.Contains(flag.Arg(0), ":") {
		log.Fatal("usage: mint [--bearer] [--ca F] [--cert F --key F] [--token-file F] [--request-id ID] " +
			"ADDRESS APPLICATION")
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport(flag.Arg(0))), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 5 * time.Second, Backoff: backoff.Config{
			BaseDelay: 100 * time.Millisecond, MaxDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2}})}
	if *tokenFile != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearerFile(*tokenFile)))
	}
	connection, err := grpc.Dial(flag.Arg(0), options...) // grpc.NewClient, where there is one
	check(err)

	// The same id on every attempt: tokend never creates two tokens for it.
	request := &tokendv1.CreateTokenRequest{Application: flag.Arg(1), RequestId: *requestID}
	token, err := createToken(tokendv1.NewTokenServiceClient(connection), request)
	if failure := status.Convert(err); err != nil {
		info, _ := detailsOf(failure)
		log.Fatalf("%s (%s): %s; request_id %s", failure.Code(), info.GetReason(), failure.Message(), request.RequestId)
	}
	if *bearer {
		fmt.Println(token.GetBearer())
	} else {
		fmt.Println(token.GetId())
	}
}
