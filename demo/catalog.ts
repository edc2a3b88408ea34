/** The catalog service as both ends know it, in the shape that a code generator would have made. */
import {
  type ChannelCredentials,
  type Client,
  type ClientUnaryCall,
  type handleUnaryCall,
  makeGenericClientConstructor,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'

/** How the service is to behave: the demo's way of breaking things. */
export const moods = ['well', 'slow', 'hangs', 'fails'] as const
export type Mood = (typeof moods)[number]

export interface ProductRequest {
  readonly id: string
  readonly mood: Mood
}

export interface Product {
  readonly id: string
  readonly name: string
  /** What the service was given to answer in. */
  readonly answeredWithinMs: number
}

export interface CatalogServer extends UntypedServiceImplementation {
  getProduct: handleUnaryCall<ProductRequest, Product>
}

export interface CatalogClient extends Client {
  getProduct(
    request: ProductRequest,
    callback: (error: ServiceError | null, response: Product) => void,
  ): ClientUnaryCall
}

const write = (message: object): Buffer => Buffer.from(JSON.stringify(message))
const read = (bytes: Buffer): any => JSON.parse(bytes.toString())

export const catalogService: ServiceDefinition<CatalogServer> = {
  getProduct: {
    path: '/shop.Catalog/GetProduct',
    requestStream: false,
    responseStream: false,
    requestSerialize: write,
    requestDeserialize: read,
    responseSerialize: write,
    responseDeserialize: read,
  },
}

export const CatalogClient = makeGenericClientConstructor(catalogService, 'Catalog') as unknown as new (
  address: string,
  credentials: ChannelCredentials,
) => CatalogClient
