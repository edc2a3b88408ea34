import type {
  Client,
  handleUnaryCall,
  ServiceClientConstructor,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import * as grpc from '@grpc/grpc-js'
import { describe, expectTypeOf, test } from 'vitest'
import type {
  CatalogClient,
  CatalogServer,
  Item,
  ItemRequest,
  ListRequest,
  Price,
  Summary,
} from '../../../test/grpc/catalog.ts'
import type { Context } from '../../core/context.ts'
import type {
  BidiMethod,
  ClientStreamMethod,
  MethodNames,
  PromiseClient,
  ServerStreamMethod,
  UnaryMethod,
} from './client-types.ts'
import type { Implementation } from './server-types.ts'

/** As proto-loader generates it: callbacks whose value may be missing, every method under two names. */
interface LoadedClient extends Client {
  Get(
    argument: ItemRequest,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Item>,
  ): grpc.ClientUnaryCall
  Get(
    argument: ItemRequest,
    metadata: grpc.Metadata,
    callback: grpc.requestCallback<Item>,
  ): grpc.ClientUnaryCall
  Get(
    argument: ItemRequest,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Item>,
  ): grpc.ClientUnaryCall
  Get(argument: ItemRequest, callback: grpc.requestCallback<Item>): grpc.ClientUnaryCall
  get(argument: ItemRequest, callback: grpc.requestCallback<Item>): grpc.ClientUnaryCall
  Watch(
    argument: ListRequest,
    metadata: grpc.Metadata,
    options?: grpc.CallOptions,
  ): grpc.ClientReadableStream<Item>
  Watch(argument: ListRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<Item>
  Send(
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Summary>,
  ): grpc.ClientWritableStream<Item>
  Send(callback: grpc.requestCallback<Summary>): grpc.ClientWritableStream<Item>
  Talk(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<ItemRequest, Price>
  Talk(options?: grpc.CallOptions): grpc.ClientDuplexStream<ItemRequest, Price>
}

/** As grpc_tools_node_protoc_ts generates it: a class, with messages that are classes too. */
declare class Message {
  getName(): string
}
declare class ToolsClient extends grpc.Client {
  get(
    request: Message,
    callback: (error: grpc.ServiceError | null, response: Message) => void,
  ): grpc.ClientUnaryCall
  get(
    request: Message,
    metadata: grpc.Metadata,
    callback: (error: grpc.ServiceError | null, response: Message) => void,
  ): grpc.ClientUnaryCall
  get(
    request: Message,
    metadata: grpc.Metadata,
    options: Partial<grpc.CallOptions>,
    callback: (error: grpc.ServiceError | null, response: Message) => void,
  ): grpc.ClientUnaryCall
  list(request: Message, options?: Partial<grpc.CallOptions>): grpc.ClientReadableStream<Message>
  list(
    request: Message,
    metadata?: grpc.Metadata,
    options?: Partial<grpc.CallOptions>,
  ): grpc.ClientReadableStream<Message>
}

describe('a promise client', () => {
  test('has the types of a client by ts-proto', () => {
    type Catalog = PromiseClient<CatalogClient>
    expectTypeOf<Catalog['getItem']>().toEqualTypeOf<UnaryMethod<ItemRequest, Item>>()
    expectTypeOf<Catalog['listItems']>().toEqualTypeOf<ServerStreamMethod<ListRequest, Item>>()
    expectTypeOf<Catalog['importItems']>().toEqualTypeOf<ClientStreamMethod<Item, Summary>>()
    expectTypeOf<Catalog['quote']>().toEqualTypeOf<BidiMethod<ItemRequest, Price>>()
    expectTypeOf<keyof Catalog>().toEqualTypeOf<'getItem' | 'listItems' | 'importItems' | 'quote'>()
    expectTypeOf<MethodNames<CatalogClient>>().toEqualTypeOf<keyof Catalog>()
  })

  test('has the types of a client by proto-loader', () => {
    type Loaded = PromiseClient<LoadedClient>
    expectTypeOf<Loaded['Get']>().toEqualTypeOf<UnaryMethod<ItemRequest, Item>>()
    expectTypeOf<Loaded['get']>().toEqualTypeOf<UnaryMethod<ItemRequest, Item>>()
    expectTypeOf<Loaded['Watch']>().toEqualTypeOf<ServerStreamMethod<ListRequest, Item>>()
    expectTypeOf<Loaded['Send']>().toEqualTypeOf<ClientStreamMethod<Item, Summary>>()
    expectTypeOf<Loaded['Talk']>().toEqualTypeOf<BidiMethod<ItemRequest, Price>>()
  })

  test('has the types of a client by grpc-tools', () => {
    type Tools = PromiseClient<ToolsClient>
    expectTypeOf<Tools['get']>().toEqualTypeOf<UnaryMethod<Message, Message>>()
    expectTypeOf<Tools['list']>().toEqualTypeOf<ServerStreamMethod<Message, Message>>()
    expectTypeOf<keyof Tools>().toEqualTypeOf<'get' | 'list'>()
  })

  test('of a client without types has any method', () => {
    expectTypeOf<PromiseClient<InstanceType<ServiceClientConstructor>>>().toBeAny()
  })
})

describe('an implementation', () => {
  test('has the types of a server by ts-proto', () => {
    type Catalog = Implementation<CatalogServer>
    expectTypeOf<keyof Catalog>().toEqualTypeOf<'getItem' | 'listItems' | 'importItems' | 'quote'>()
    expectTypeOf<Parameters<Catalog['getItem']>>().toEqualTypeOf<[request: ItemRequest, context: Context]>()
    expectTypeOf<ReturnType<Catalog['getItem']>>().toEqualTypeOf<Item | PromiseLike<Item>>()
    expectTypeOf<Parameters<Catalog['listItems']>[0]>().toEqualTypeOf<ListRequest>()
    expectTypeOf<() => AsyncGenerator<Item>>().toExtend<Catalog['listItems']>()
    expectTypeOf<() => Promise<Item[]>>().toExtend<Catalog['listItems']>()
    expectTypeOf<() => AsyncGenerator<Price>>().not.toExtend<Catalog['listItems']>()
    expectTypeOf<Parameters<Catalog['importItems']>[0]>().toEqualTypeOf<AsyncIterableIterator<Item>>()
    expectTypeOf<ReturnType<Catalog['importItems']>>().toEqualTypeOf<Summary | PromiseLike<Summary>>()
    expectTypeOf<Parameters<Catalog['quote']>[0]>().toEqualTypeOf<AsyncIterableIterator<ItemRequest>>()
    expectTypeOf<() => AsyncGenerator<Price>>().toExtend<Catalog['quote']>()
    expectTypeOf<() => AsyncGenerator<Item>>().not.toExtend<Catalog['quote']>()
  })

  test('need not belong to a type that has an index signature', () => {
    interface Older {
      get: handleUnaryCall<ItemRequest, Item>
    }
    expectTypeOf<Parameters<Implementation<Older>['get']>[0]>().toEqualTypeOf<ItemRequest>()
  })

  test('without types has any method', () => {
    type Untyped = Implementation<UntypedServiceImplementation>
    expectTypeOf<Parameters<Untyped['anything']>[0]>().toBeAny()
  })
})
