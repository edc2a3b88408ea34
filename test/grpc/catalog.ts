/** A small service, written in the shape that ts-proto generates, with JSON for a wire format. */
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  makeGenericClientConstructor,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'

export interface ItemRequest {
  id: number
}

export interface Item {
  id: number
  name: string
}

export interface ListRequest {
  count: number
}

export interface Summary {
  count: number
}

export interface Price {
  id: number
  cents: number
}

const write = (value: object): Buffer => Buffer.from(JSON.stringify(value))
const read = (bytes: Buffer): any => JSON.parse(bytes.toString())

export type CatalogService = typeof CatalogService
export const CatalogService = {
  getItem: {
    path: '/shop.Catalog/GetItem' as const,
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: (value: ItemRequest): Buffer => write(value),
    requestDeserialize: (bytes: Buffer): ItemRequest => read(bytes),
    responseSerialize: (value: Item): Buffer => write(value),
    responseDeserialize: (bytes: Buffer): Item => read(bytes),
  },
  listItems: {
    path: '/shop.Catalog/ListItems' as const,
    requestStream: false as const,
    responseStream: true as const,
    requestSerialize: (value: ListRequest): Buffer => write(value),
    requestDeserialize: (bytes: Buffer): ListRequest => read(bytes),
    responseSerialize: (value: Item): Buffer => write(value),
    responseDeserialize: (bytes: Buffer): Item => read(bytes),
  },
  importItems: {
    path: '/shop.Catalog/ImportItems' as const,
    requestStream: true as const,
    responseStream: false as const,
    requestSerialize: (value: Item): Buffer => write(value),
    requestDeserialize: (bytes: Buffer): Item => read(bytes),
    responseSerialize: (value: Summary): Buffer => write(value),
    responseDeserialize: (bytes: Buffer): Summary => read(bytes),
  },
  quote: {
    path: '/shop.Catalog/Quote' as const,
    requestStream: true as const,
    responseStream: true as const,
    requestSerialize: (value: ItemRequest): Buffer => write(value),
    requestDeserialize: (bytes: Buffer): ItemRequest => read(bytes),
    responseSerialize: (value: Price): Buffer => write(value),
    responseDeserialize: (bytes: Buffer): Price => read(bytes),
  },
} as const

export interface CatalogServer extends UntypedServiceImplementation {
  getItem: handleUnaryCall<ItemRequest, Item>
  listItems: handleServerStreamingCall<ListRequest, Item>
  importItems: handleClientStreamingCall<Item, Summary>
  quote: handleBidiStreamingCall<ItemRequest, Price>
}

export interface CatalogClient extends Client {
  getItem(
    request: ItemRequest,
    callback: (error: ServiceError | null, response: Item) => void,
  ): ClientUnaryCall
  getItem(
    request: ItemRequest,
    metadata: Metadata,
    callback: (error: ServiceError | null, response: Item) => void,
  ): ClientUnaryCall
  getItem(
    request: ItemRequest,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Item) => void,
  ): ClientUnaryCall
  listItems(request: ListRequest, options?: Partial<CallOptions>): ClientReadableStream<Item>
  listItems(
    request: ListRequest,
    metadata?: Metadata,
    options?: Partial<CallOptions>,
  ): ClientReadableStream<Item>
  importItems(callback: (error: ServiceError | null, response: Summary) => void): ClientWritableStream<Item>
  importItems(
    metadata: Metadata,
    callback: (error: ServiceError | null, response: Summary) => void,
  ): ClientWritableStream<Item>
  importItems(
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Summary) => void,
  ): ClientWritableStream<Item>
  quote(): ClientDuplexStream<ItemRequest, Price>
  quote(options: Partial<CallOptions>): ClientDuplexStream<ItemRequest, Price>
  quote(metadata: Metadata, options?: Partial<CallOptions>): ClientDuplexStream<ItemRequest, Price>
}

export const CatalogClient = makeGenericClientConstructor(CatalogService, 'shop.Catalog') as unknown as {
  new (address: string, credentials: ChannelCredentials, options?: Partial<ClientOptions>): CatalogClient
  service: typeof CatalogService
  serviceName: string
}
