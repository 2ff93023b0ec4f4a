module line-worker-client

go 1.19
