package fhirservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"
)

// blobs is the service's own access to its storage account.
type blobs struct {
	client *azblob.Client
	base   string // the account's URL, no slash at the end
}

func openBlobs(connectionString string, by *http.Client) (*blobs, error) {
	o := azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: 2, RetryDelay: 50 * time.Millisecond, MaxRetryDelay: time.Second},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
	if by != nil {
		o.Transport = by
	}
	client, err := azblob.NewClientFromConnectionString(connectionString, &azblob.ClientOptions{ClientOptions: o})
	if err != nil {
		return nil, fmt.Errorf("open storage account: %w", err)
	}
	return &blobs{client: client, base: strings.TrimSuffix(client.URL(), "/")}, nil
}

// makeContainer creates a container unless it is there.
func (b *blobs) makeContainer(ctx context.Context, name string) error {
	if _, err := b.client.CreateContainer(ctx, name, nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return fmt.Errorf("create container %s: %w", name, err)
	}
	return nil
}

// put writes a blob, over an older one if need be, and returns its URL without a SAS.
func (b *blobs) put(ctx context.Context, container, name string, data []byte) (string, error) {
	if _, err := b.client.UploadBuffer(ctx, container, name, data, nil); err != nil {
		return "", fmt.Errorf("write blob %s/%s: %w", container, name, err)
	}
	return b.base + "/" + container + "/" + name, nil
}

// address finds container and blob in a URL below the account.
func (b *blobs) address(blobURL string) (container, name string, err error) {
	rest, ok := strings.CutPrefix(blobURL, b.base+"/")
	if ok {
		container, name, ok = strings.Cut(rest, "/")
	}
	if ok {
		name, err = url.PathUnescape(name)
	}
	if !ok || err != nil || name == "" {
		return "", "", &azcore.ResponseError{StatusCode: http.StatusNotFound, ErrorCode: string(bloberror.ResourceNotFound)}
	}
	return container, name, nil
}

// etag returns a blob's ETag without quotes.
func (b *blobs) etag(ctx context.Context, container, name string) (string, error) {
	props, err := b.client.ServiceClient().NewContainerClient(container).NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("look up blob %s/%s: %w", container, name, err)
	}
	if props.ETag == nil {
		return "", nil
	}
	return strings.Trim(string(*props.ETag), `"`), nil
}

// read returns the content of a blob. While it reads, the blob is leased for ever, as the workers of the service do it; a lease of somebody else does not hinder.
func (b *blobs) read(ctx context.Context, container, name string) ([]byte, error) {
	at := b.client.ServiceClient().NewContainerClient(container).NewBlobClient(name)
	holder, err := lease.NewBlobClient(at, nil)
	if err != nil {
		return nil, fmt.Errorf("lease blob %s/%s: %w", container, name, err)
	}
	if _, err := holder.AcquireLease(ctx, -1, nil); err == nil {
		defer func() { _, _ = holder.ReleaseLease(context.WithoutCancel(ctx), nil) }() // a lease left behind is what the service may leave, too
	}
	got, err := at.DownloadStream(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read blob %s/%s: %w", container, name, err)
	}
	defer got.Body.Close()
	content := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+deref(got.ContentLength)))
	if _, err := content.ReadFrom(got.Body); err != nil {
		return nil, fmt.Errorf("read blob %s/%s: %w", container, name, err)
	}
	return content.Bytes(), nil
}

func deref(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// storageFailure is how a job fails on a storage error: with the storage service's own status; what never reached it is an unknown error.
func storageFailure(err error) *Failure {
	var answered *azcore.ResponseError
	if errors.As(err, &answered) {
		return &Failure{Status: answered.StatusCode, Reason: fmt.Sprintf("Storage answered %d %s.", answered.StatusCode, answered.ErrorCode)}
	}
	if errors.Is(err, errNoAccount) {
		return &Failure{Status: http.StatusBadRequest, Reason: err.Error()}
	}
	return &Failure{Status: http.StatusInternalServerError, Reason: "Unknown error."}
}
