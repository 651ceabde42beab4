using System.Reflection;

namespace Microsoft.ML.Runtime;

public sealed class ComponentCatalog
{
    private readonly Lock _lock = new();
    private readonly HashSet<string> _registered = [];
    private readonly Dictionary<(string LoadName, Type Signature), LoadableClass> _classes = [];
    private readonly Dictionary<(Type Attribute, string Contract), Type> _extensions = [];

    internal ComponentCatalog() { }

    public void RegisterAssembly(Assembly assembly, bool throwOnError = true)
    {
        lock (_lock)
        {
            if (!_registered.Add(assembly.FullName))
                return;
            foreach (LoadableClassAttributeBase attribute in assembly.GetCustomAttributes(typeof(LoadableClassAttributeBase)))
                Add(LoadableClass.From(attribute, throwOnError), attribute, throwOnError);
            foreach (Type type in assembly.GetTypes().Where(type => type.IsClass))
            {
                foreach (ExtensionBaseAttribute attribute in type.GetCustomAttributes(typeof(ExtensionBaseAttribute)))
                    AddExtension(type, attribute, throwOnError);
            }
        }
    }

    private void Add(LoadableClass made, LoadableClassAttributeBase attribute, bool throwOnError)
    {
        foreach (string name in attribute.LoadNames)
        {
            foreach (Type signature in attribute.SigTypes)
            {
                if (!_classes.TryAdd((Key(name), signature), made) && throwOnError)
                    throw Contracts.Except($"ComponentCatalog cannot map name '{name}' and SignatureType '{signature}' to {attribute.InstanceType.Name}: the name is taken.");
            }
        }
    }

    private void AddExtension(Type type, ExtensionBaseAttribute attribute, bool throwOnError)
    {
        if (!_extensions.TryAdd((attribute.GetType(), attribute.ContractName), type) && throwOnError)
            throw Contracts.Except($"An extension for '{attribute.GetType().Name}' with contract '{attribute.ContractName}' has already been registered in the ComponentCatalog.");
    }

    private static string Key(string loadName) => (loadName ?? "").ToLowerInvariant().Trim();

    internal bool TryCreateInstance<TResult, TSignature>(IHostEnvironment env, string loadName, out TResult result, params object[] extra)
        where TResult : class
    {
        LoadableClass found;
        lock (_lock)
            _classes.TryGetValue((Key(loadName), typeof(TSignature)), out found);
        result = found?.Create(env, extra) as TResult;
        return result != null;
    }

    internal object GetExtensionValue(Type attributeType, string contractName)
    {
        lock (_lock)
        {
            if (_extensions.TryGetValue((attributeType, contractName), out Type type))
                return Activator.CreateInstance(type);
        }
        throw Contracts.Except($"Unable to locate an extension for the contract '{contractName}'. Ensure you have called {nameof(ComponentCatalog)}.{nameof(RegisterAssembly)} with the Assembly that contains a class decorated with a '{attributeType.FullName}'.");
    }

    /// <summary>How one loadable class is made: by its constructor or by its static <c>Create</c>.</summary>
    private sealed class LoadableClass(MethodBase maker, bool wantsEnvironment, string name)
    {
        private const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic;

        public static LoadableClass From(LoadableClassAttributeBase attribute, bool throwOnError)
        {
            if (attribute.InstanceType == typeof(void))
                return new LoadableClass(null, false, attribute.UserName);
            Type[] plain = attribute.CtorTypes;
            Type[] withEnvironment = [typeof(IHostEnvironment), .. plain];
            bool canConstruct = attribute.InstanceType.IsAssignableFrom(attribute.LoaderType);
            MethodBase constructor = canConstruct ? Constructor(attribute, plain) ?? Constructor(attribute, withEnvironment) : null;
            MethodBase create = CreateMethod(attribute, plain) ?? CreateMethod(attribute, withEnvironment);
            if (constructor != null && create != null && Visibility(constructor) == Visibility(create))
                throw Contracts.Except($"Can't load type {attribute.InstanceType}, because it has both create and constructor methods with the same visibility.");
            MethodBase maker = create == null || constructor != null && Visibility(constructor) > Visibility(create) ? constructor : create;
            if (maker == null && throwOnError)
                throw Contracts.Except($"Can't instantiate loadable class '{attribute.InstanceType.Name}' with name '{attribute.LoadNames[0]}'");
            return new LoadableClass(maker, maker?.GetParameters().Length == withEnvironment.Length, attribute.LoadNames[0]);
        }

        private static ConstructorInfo Constructor(LoadableClassAttributeBase attribute, Type[] types)
            => attribute.LoaderType.GetConstructor(Any | BindingFlags.Instance, null, types, null);

        private static MethodInfo CreateMethod(LoadableClassAttributeBase attribute, Type[] types)
        {
            MethodInfo method = attribute.LoaderType.GetMethod("Create", Any | BindingFlags.Static | BindingFlags.FlattenHierarchy, null, types, null);
            return method?.DeclaringType == attribute.LoaderType && method.ReturnType == attribute.InstanceType ? method : null;
        }

        private static int Visibility(MethodBase method)
            => method.IsPublic ? 5 : method.IsAssembly ? 4 : method.IsFamilyOrAssembly ? 3 : method.IsFamily ? 2 : method.IsPrivate ? 1 : 0;

        public object Create(IHostEnvironment env, object[] extra)
        {
            object[] arguments = wantsEnvironment ? [env, .. extra] : extra;
            try
            {
                return maker switch
                {
                    ConstructorInfo constructor => constructor.Invoke(arguments),
                    MethodInfo method => method.Invoke(null, arguments),
                    _ => throw Contracts.Except($"Can't instantiate class '{name}'"),
                };
            }
            catch (TargetInvocationException exception) when (exception.InnerException?.IsMarked() == true)
            {
                throw Contracts.Except("Error during class instantiation", exception);
            }
        }
    }
}
