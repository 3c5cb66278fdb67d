package main

import _ "github.com/golangci/golangci-lint/v2/pkg/commands"

func main() {}
