// Runs a test's plan with gRPC for Go and raw bytes as messages: see README.md.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang/protobuf/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const maxOutcomes = 32

type job struct {
	Method        string
	Kind          string
	Requests      []string
	Metadata      map[string]string
	Count         int
	Parallel      int
	Seconds       float64
	TimeoutMs     int `json:"timeout_ms"`
	CancelAfterMs int `json:"cancel_after_ms"`
	PauseMs       int `json:"pause_ms"`
}

type plan struct {
	Address     string
	Ca          string
	Cert        string
	Key         string
	KeepaliveMs int `json:"keepalive_ms"`
	Gzip        bool
	Jobs        []job
}

type outcome struct {
	Code      int      `json:"code"`
	Message   string   `json:"message"`
	Details   string   `json:"details"`
	Pushback  string   `json:"pushback"`
	Responses []string `json:"responses"`
}

type result struct {
	Codes    map[int]int `json:"codes"`
	Outcomes []outcome   `json:"outcomes"`
}

// Passes messages through as bytes.
type rawCodec struct{}

func (rawCodec) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (rawCodec) Name() string { return "proto" }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func open(p plan) *grpc.ClientConn {
	options := []grpc.DialOption{grpc.WithBlock(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(64<<20))}
	if p.KeepaliveMs > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: time.Duration(p.KeepaliveMs) * time.Millisecond, PermitWithoutStream: true}))
	}
	if p.Gzip {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	address := p.Address
	if strings.HasPrefix(address, "unix://") {
		path := strings.TrimPrefix(address, "unix://")
		address = "passthrough:///localhost"
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	}
	if p.Ca == "" {
		options = append(options, grpc.WithInsecure())
	} else {
		pem, err := ioutil.ReadFile(p.Ca)
		check(err)
		config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
		config.RootCAs.AppendCertsFromPEM(pem)
		if p.Cert != "" {
			pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
			check(err)
			config.Certificates = []tls.Certificate{pair}
		}
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	connection, err := grpc.DialContext(ctx, address, options...)
	check(err)
	return connection
}

func encode(responses [][]byte) []string {
	texts := []string{}
	for _, each := range responses {
		texts = append(texts, base64.StdEncoding.EncodeToString(each))
	}
	return texts
}

func call(connection *grpc.ClientConn, j job, request []byte, requests [][]byte) outcome {
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.Background(), metadata.New(j.Metadata)))
	defer cancel()
	if j.TimeoutMs > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(j.TimeoutMs)*time.Millisecond)
		defer stop()
	}
	if j.CancelAfterMs > 0 {
		time.AfterFunc(time.Duration(j.CancelAfterMs)*time.Millisecond, cancel)
	}
	var trailer metadata.MD
	options := []grpc.CallOption{grpc.Trailer(&trailer)}
	responses := [][]byte{}
	var err error
	if j.Kind == "" {
		var response []byte
		if err = connection.Invoke(ctx, j.Method, &request, &response, options...); err == nil {
			responses = append(responses, response)
		}
	} else {
		description := &grpc.StreamDesc{ServerStreams: true, ClientStreams: j.Kind == "bidi"}
		var stream grpc.ClientStream
		stream, err = connection.NewStream(ctx, description, j.Method, options...)
		if j.Kind == "server_stream" {
			requests = [][]byte{request}
		}
		for i := 0; err == nil && i < len(requests); i++ {
			if err = stream.SendMsg(&requests[i]); err == io.EOF {
				err = nil
				break
			}
		}
		if err == nil {
			stream.CloseSend()
		}
		for err == nil {
			var response []byte
			if err = stream.RecvMsg(&response); err == nil {
				responses = append(responses, response)
			}
		}
		if err == io.EOF {
			err = nil
		}
	}
	pushback := ""
	if values := trailer.Get("grpc-retry-pushback-ms"); len(values) > 0 {
		pushback = values[0]
	}
	var details []byte
	if err != nil && len(status.Convert(err).Proto().GetDetails()) > 0 {
		var marshalErr error
		details, marshalErr = proto.Marshal(status.Convert(err).Proto())
		check(marshalErr)
	}
	return outcome{int(status.Code(err)), status.Convert(err).Message(),
		base64.StdEncoding.EncodeToString(details), pushback, encode(responses)}
}

func run(connection *grpc.ClientConn, j job, started time.Time) result {
	requests := [][]byte{}
	for _, each := range j.Requests {
		bytes, err := base64.StdEncoding.DecodeString(each)
		check(err)
		requests = append(requests, bytes)
	}
	if len(requests) == 0 {
		requests = append(requests, []byte{})
	}
	if j.Count == 0 {
		j.Count = 1
	}
	if j.Parallel == 0 {
		j.Parallel = 1
	}
	r := result{map[int]int{}, []outcome{}}
	var lock sync.Mutex
	var workers sync.WaitGroup
	begun := 0
	next := func() int {
		lock.Lock()
		defer lock.Unlock()
		over := begun >= j.Count
		if j.Seconds > 0 {
			over = time.Since(started).Seconds() >= j.Seconds
		}
		if over {
			return -1
		}
		begun++
		return begun - 1
	}
	for i := 0; i < j.Parallel; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := next(); number >= 0; number = next() {
				o := call(connection, j, requests[number%len(requests)], requests)
				lock.Lock()
				r.Codes[o.Code]++
				if len(r.Outcomes) < maxOutcomes {
					r.Outcomes = append(r.Outcomes, o)
				}
				lock.Unlock()
				if number+1 < j.Count || j.Seconds > 0 {
					time.Sleep(time.Duration(j.PauseMs) * time.Millisecond)
				}
			}
		}()
	}
	workers.Wait()
	return r
}

func main() {
	text, err := ioutil.ReadFile(os.Args[1])
	check(err)
	var p plan
	check(json.Unmarshal(text, &p))
	connection := open(p)
	connects := 1
	go func() {
		for state := connection.GetState(); connection.WaitForStateChange(context.Background(), state); {
			state = connection.GetState()
			if state == connectivity.Ready {
				connects++
			}
		}
	}()
	started := time.Now()
	results := make([]result, len(p.Jobs))
	var jobs sync.WaitGroup
	for i := range p.Jobs {
		jobs.Add(1)
		go func(i int) {
			defer jobs.Done()
			results[i] = run(connection, p.Jobs[i], started)
		}(i)
	}
	jobs.Wait()
	output, err := json.Marshal(map[string]interface{}{"connects": connects, "jobs": results})
	check(err)
	fmt.Println(string(output))
}
