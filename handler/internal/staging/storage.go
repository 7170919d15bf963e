package staging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// blobs is a storage account as a Store uses it: the storage service (storage), or the twin in memory (memoryBlobs).
type blobs interface {
	// createContainer makes a container. One that is there already is as good.
	createContainer(ctx context.Context, container string) error
	// put saves a blob. errBlobExists, for createOnly; ErrNotFound when there is no container.
	put(ctx context.Context, container, name string, body io.ReadSeeker, how condition) error
	// upload saves a blob of any size, whatever is there: open gives its content, more than once when the upload is repeated. ErrNotFound
	// when there is no container.
	upload(ctx context.Context, container, name string, open func() (io.ReadCloser, error)) error
	// get opens a blob at byte from, which is at most its length. ErrNotFound.
	get(ctx context.Context, container, name string, from int64) (io.ReadCloser, error)
	// etag is the ETag of a blob, without quotes. ErrNotFound.
	etag(ctx context.Context, container, name string) (string, error)
	// remove takes a blob away. One that is gone is as good.
	remove(ctx context.Context, container, name string) error
	// reach asks for a list of containers, one at most.
	reach(ctx context.Context) error
	// list names the blobs whose names begin with prefix, in their order. A container that is not there has none.
	list(ctx context.Context, container, prefix string) ([]string, error)
}

// condition says what may be under the name of a blob that is saved.
type condition bool

const (
	overwrite  condition = false // whatever is there is replaced
	createOnly condition = true  // nothing may be there
)

// uploadBlock is a part of a blob that is streamed, in bytes: what an upload keeps in memory. A blob has at most 50,000.
const uploadBlock = 8 << 20

// errBlobExists: a createOnly put found a blob, perhaps our own whose reply was lost.
var errBlobExists = errors.New("the blob exists")

// storage is the blob service of a storage account.
type storage struct{ client *azblob.Client }

func openStorage(o Options) (storage, error) {
	opts := &azblob.ClientOptions{ClientOptions: azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}}
	var client *azblob.Client
	var err error
	if o.ConnectionString != "" {
		client, err = azblob.NewClientFromConnectionString(o.ConnectionString, opts)
	} else {
		client, err = azblob.NewClient(o.Endpoint, o.Credential, opts)
	}
	if err != nil {
		return storage{}, fmt.Errorf("open the blob service: %w", err)
	}
	return storage{client}, nil
}

func (s storage) createContainer(ctx context.Context, container string) error {
	_, err := s.client.CreateContainer(ctx, container, nil)
	if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return wrap("create", container, "", err)
}

func (s storage) put(ctx context.Context, container, name string, body io.ReadSeeker, how condition) error {
	options := &blockblob.UploadOptions{HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("application/json")}}
	if how == createOnly {
		options.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
	}
	_, err := s.client.ServiceClient().NewContainerClient(container).NewBlockBlobClient(name).Upload(ctx, nopCloser{body}, options)
	switch {
	case how == createOnly && bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet):
		err = errBlobExists
	case bloberror.HasCode(err, bloberror.ContainerNotFound):
		err = ErrNotFound
	}
	return wrap("save", container, name, err)
}

func (s storage) upload(ctx context.Context, container, name string, open func() (io.ReadCloser, error)) error {
	body, err := open()
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = s.client.UploadStream(ctx, container, name, body, &azblob.UploadStreamOptions{BlockSize: uploadBlock, Concurrency: 1})
	if bloberror.HasCode(err, bloberror.ContainerNotFound) {
		err = ErrNotFound
	}
	return wrap("save", container, name, err)
}

func (s storage) get(ctx context.Context, container, name string, from int64) (io.ReadCloser, error) {
	reply, err := s.client.DownloadStream(ctx, container, name, &azblob.DownloadStreamOptions{Range: azblob.HTTPRange{Offset: from}})
	if bloberror.HasCode(err, bloberror.InvalidRange) { // of a range, the byte behind the last one is none
		return io.NopCloser(strings.NewReader("")), nil
	}
	if bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ContainerNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, wrap("read", container, name, err)
	}
	return reply.NewRetryReader(ctx, nil), nil
}

func (s storage) remove(ctx context.Context, container, name string) error {
	_, err := s.client.DeleteBlob(ctx, container, name, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ContainerNotFound) {
		return nil
	}
	return wrap("remove", container, name, err)
}

func (s storage) reach(ctx context.Context) error {
	_, err := s.client.NewListContainersPager(&azblob.ListContainersOptions{MaxResults: to.Ptr(int32(1))}).NextPage(ctx)
	if err != nil {
		return fmt.Errorf("list the containers: %w", err)
	}
	return nil
}

func (s storage) list(ctx context.Context, container, prefix string) (names []string, _ error) {
	pages := s.client.NewListBlobsFlatPager(container, &azblob.ListBlobsFlatOptions{Prefix: &prefix})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if bloberror.HasCode(err, bloberror.ContainerNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, wrap("list", container, prefix, err)
		}
		for _, item := range page.Segment.BlobItems {
			names = append(names, *item.Name)
		}
	}
	return names, nil
}

func (s storage) etag(ctx context.Context, container, name string) (string, error) {
	reply, err := s.client.ServiceClient().NewContainerClient(container).NewBlobClient(name).GetProperties(ctx, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ContainerNotFound) || statusOf(err) == http.StatusNotFound { // a HEAD has no body
		err = ErrNotFound
	}
	if err != nil {
		return "", wrap("look at", container, name, err)
	}
	if reply.ETag == nil || *reply.ETag == "" {
		return "", wrap("look at", container, name, errors.New("it has no ETag"))
	}
	return strings.Trim(string(*reply.ETag), `"`), nil
}

func statusOf(err error) int {
	var answered *azcore.ResponseError
	if errors.As(err, &answered) {
		return answered.StatusCode
	}
	return 0
}

func wrap(op, containerName, blobName string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s blob %s/%s: %w", op, containerName, blobName, err)
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
