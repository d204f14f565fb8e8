// Reads features with go-redis, as a Go service would: HGETALL, HMGET, and a pipeline of both, over RESP3. It prints
// what it got as one JSON object, so that a test can compare it with another client's answer.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

type answers struct {
	All      map[string]string            `json:"hgetall"`
	Fields   map[string]*string           `json:"hmget"`
	Pipeline map[string]map[string]string `json:"pipeline"`
}

func main() {
	address := flag.String("address", "127.0.0.1:6379", "host:port of the Redis door")
	password := flag.String("password", "", "an API key, where the server asks for one")
	keys := flag.String("key", "", "a key, or several separated by commas: service:part")
	fields := flag.String("fields", "", "fields to ask for, separated by commas")
	timeout := flag.Duration("timeout", 10*time.Second, "how long all of it may take")
	flag.Parse()
	if *keys == "" {
		fail(errors.New("name a key with -key"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: *address, Password: *password, Protocol: 3, ClientName: "redis_go"})
	defer client.Close()
	got, err := read(ctx, client, strings.Split(*keys, ","), split(*fields))
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		fail(err)
	}
}

// read asks for the first key in every way, and for all keys in one pipeline.
func read(ctx context.Context, client *redis.Client, keys, fields []string) (*answers, error) {
	all, err := client.HGetAll(ctx, keys[0]).Result()
	if err != nil {
		return nil, fmt.Errorf("HGETALL %s: %w", keys[0], err)
	}
	got := &answers{All: all, Fields: map[string]*string{}, Pipeline: map[string]map[string]string{}}
	if len(fields) > 0 {
		values, err := client.HMGet(ctx, keys[0], fields...).Result()
		if err != nil {
			return nil, fmt.Errorf("HMGET %s: %w", keys[0], err)
		}
		for i, value := range values {
			// A nil stays a null.
			if text, ok := value.(string); ok {
				got.Fields[fields[i]] = &text
			} else {
				got.Fields[fields[i]] = nil
			}
		}
	}
	commands := make([]*redis.MapStringStringCmd, len(keys))
	_, err = client.Pipelined(ctx, func(pipeline redis.Pipeliner) error {
		for i, key := range keys {
			commands[i] = pipeline.HGetAll(ctx, key)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("a pipeline of HGETALL: %w", err)
	}
	for i, key := range keys {
		got.Pipeline[key] = commands[i].Val()
	}
	return got, nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
