// Records what containerd's own Go implementation of ttrpc puts on the wire, both directions, as the C++
// byte strings of rpc/ttrpc_vectors.h. Needed only to record them anew:
//
//	apt-get install golang-go golang-github-containerd-ttrpc-dev
//	GO111MODULE=off GOPATH=/usr/share/gocode go run tests/conformance/ttrpc/vectors.go
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/gogo/protobuf/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// tap forwards and prints what passes.
func tap(name string, dst io.Writer, src io.Reader, out chan<- string) {
	buffer := make([]byte, 1<<20)
	text := ""
	for {
		n, err := src.Read(buffer)
		for _, b := range buffer[:n] {
			text += fmt.Sprintf("\\x%02x", b)
		}
		if n > 0 {
			dst.Write(buffer[:n])
		}
		if err != nil {
			break
		}
	}
	out <- fmt.Sprintf("inline constexpr std::string_view k%s = \"%s\"sv;", name, text)
}

func record(name string, call func(context.Context, *ttrpc.Client)) {
	path := fmt.Sprintf("%s/ttrpc-%d.sock", os.TempDir(), os.Getpid())
	os.Remove(path)
	listener, _ := net.Listen("unix", path)
	server, _ := ttrpc.NewServer()
	server.Register("holt.test.Vectors", map[string]ttrpc.Method{
		"Echo": func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
			var request types.StringValue
			if err := unmarshal(&request); err != nil {
				return nil, err
			}
			return &request, nil
		},
		"Fail": func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
			var request types.StringValue
			unmarshal(&request)
			return nil, status.Errorf(codes.NotFound, "container %s does not exist", request.Value)
		},
	})
	go server.Serve(context.Background(), listener)
	upstream, _ := net.Dial("unix", path)
	near, far := net.Pipe()
	out := make(chan string, 2)
	go tap(name+"Request", upstream, far, out)
	go tap(name+"Response", far, upstream, out)
	client := ttrpc.NewClient(near)
	call(context.Background(), client)
	client.Close()
	time.Sleep(50 * time.Millisecond)
	near.Close()
	upstream.Close()
	fmt.Println(<-out)
	fmt.Println(<-out)
}

func main() {
	value := &types.StringValue{Value: "otter"}
	var reply types.StringValue
	record("Echo", func(ctx context.Context, c *ttrpc.Client) {
		c.Call(ctx, "holt.test.Vectors", "Echo", value, &reply)
	})
	record("Fail", func(ctx context.Context, c *ttrpc.Client) {
		c.Call(ctx, "holt.test.Vectors", "Fail", value, &reply)
	})
	record("Unknown", func(ctx context.Context, c *ttrpc.Client) {
		c.Call(ctx, "holt.test.Vectors", "Absent", value, &reply)
	})
	record("Metadata", func(ctx context.Context, c *ttrpc.Client) {
		md := ttrpc.MD{}
		md.Set("key", "value")
		c.Call(ttrpc.WithMetadata(ctx, md), "holt.test.Vectors", "Echo", value, &reply)
	})
}
